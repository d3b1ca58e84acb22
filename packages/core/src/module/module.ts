/** The tree of parameters, buffers and children that a model is. Facts: torch 2.13 `nn/modules/module.py`. */
import { UsageError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { requireArgument, TEXT } from "../errors/require-options.ts";
import type { StateDict } from "../tensor/state-dict.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { collectStateDict } from "./collect-state-dict.ts";
import type { LoadPostHook, LoadPreHook, LoadView } from "./load-hooks.ts";
import { moduleTree } from "./module-tree.ts";
import type { Parameter } from "./parameter.ts";
import { requireModule, requireParameter, requireTensor } from "./require-module.ts";
import { bumpStructureEpoch } from "./structure-epoch.ts";
import { BufferSlot } from "./tensor-slot.ts";

/** How a module made without a class of its own presents itself. */
export interface ModuleOptions {
  /** Shown in messages and used to find migrations; the class name when absent. */
  readonly typeName?: string;
  /** Layout version of the module's keys; 1 when absent. */
  readonly version?: number | null;
}

/**
 * A model or a part of one. Subclass it, or fill one in. Names are kept in the order of registration; `null` entries stand for
 * optional parts that are absent and take part in no state dict.
 */
export class Module {
  /** Version of the module's key layout, saved as metadata and handed to migrations; null saves none. */
  version: number | null;
  readonly #typeName: string | undefined;
  // Made on first use: most modules of a large model have one kind of entry and no hooks.
  #parameters: Map<string, Parameter | null> | undefined;
  #buffers: Map<string, BufferSlot | null> | undefined;
  #children: Map<string, Module | null> | undefined;
  #preHooks: Set<LoadPreHook> | undefined;
  #postHooks: Set<LoadPostHook> | undefined;

  constructor(options: ModuleOptions = {}) {
    this.#typeName = options.typeName;
    this.version = options.version === undefined ? 1 : options.version;
  }

  /** Name in messages and for migrations. Give it explicitly where class names are minified. */
  get typeName(): string {
    return this.#typeName ?? this.constructor.name;
  }

  /** State that is no tensor, saved under `<path>._extra_state`. Implement it together with `setExtraState`. */
  getExtraState?(): unknown;

  /** Takes the state back. Called in the commit; if it throws, everything is undone, by giving back what `getExtraState` said before. */
  setExtraState?(state: unknown): void;

  /**
   * Adds or replaces a parameter; null declares an absent one.
   * @throws {UsageError} RANKCAST_MODULE_NAME when the name is empty, dotted or taken by a buffer or child; RANKCAST_USAGE for what is no parameter.
   */
  registerParameter(name: string, parameter: Parameter | null): void {
    this.checkName("parameter", name, [this.ownBuffers, this.ownChildren]);
    if (parameter !== null) requireParameter(parameter, `parameter ${quote(name)}`);
    this.#parameters ??= new Map();
    this.#parameters.set(name, parameter);
    bumpStructureEpoch();
  }

  /**
   * Adds or replaces a buffer; a buffer that is not persistent stays out of the state dict.
   * @throws {UsageError} RANKCAST_MODULE_NAME when the name is empty, dotted or taken by a parameter or child; RANKCAST_USAGE for what is no tensor.
   */
  registerBuffer(name: string, tensor: Tensor | null, options: { readonly persistent?: boolean } = {}): void {
    this.checkName("buffer", name, [this.ownParameters, this.ownChildren]);
    if (tensor !== null) requireTensor(tensor, `buffer ${quote(name)}`);
    this.#buffers ??= new Map();
    this.#buffers.set(name, tensor && new BufferSlot(tensor, options.persistent ?? true));
    bumpStructureEpoch();
  }

  /**
   * Adds or replaces a child; null declares an absent one.
   * @throws {UsageError} RANKCAST_MODULE_NAME when the name is empty, dotted or taken by a parameter or buffer; RANKCAST_USAGE for what is no module.
   */
  registerModule(name: string, module: Module | null): void {
    this.checkName("module", name, [this.ownParameters, this.ownBuffers]);
    if (module !== null) requireModule(module, `module ${quote(name)}`);
    this.#children ??= new Map();
    this.#children.set(name, module);
    bumpStructureEpoch();
  }

  /**
   * Refuses names that could not be told apart in a dotted key.
   * @throws {UsageError} RANKCAST_MODULE_NAME for such a name.
   */
  protected checkName(kind: string, name: string, others: readonly ReadonlyMap<string, unknown>[]): void {
    requireArgument(`${kind} name`, name, TEXT);
    // The sentences are torch's.
    const trouble =
      name === ""
        ? `${kind} name can't be empty string ""`
        : name.includes(".")
          ? `${kind} name can't contain ".", got: ${quote(name)}`
          : others.some((other) => other.has(name))
            ? `attribute ${quote(name)} already exists`
            : null;
    if (trouble !== null) throw new UsageError("RANKCAST_MODULE_NAME", trouble, { details: { name, module: this.typeName } });
  }

  /** Names of entries of a checkpoint that are no tensors and that nobody here asks for; they are not unexpected. */
  get passedOver(): ReadonlySet<string> {
    return NO_NAMES;
  }

  /** This module's own parameters. */
  get ownParameters(): ReadonlyMap<string, Parameter | null> {
    return this.#parameters ?? NONE;
  }

  /** This module's own buffers. */
  get ownBuffers(): ReadonlyMap<string, BufferSlot | null> {
    return this.#buffers ?? NONE;
  }

  /** This module's own children, wrappers included. */
  get ownChildren(): ReadonlyMap<string, Module | null> {
    return this.#children ?? NONE;
  }

  /** The module that stands for this one in names and loads: itself; a wrapper answers with what it wraps. */
  unwrapped(): Module {
    return this;
  }

  /** Children that are not null. */
  *children(): IterableIterator<Module> {
    for (const [, child] of this.namedChildren()) yield child;
  }

  /** Children that are not null, with their names. */
  *namedChildren(): IterableIterator<[name: string, child: Module]> {
    for (const [name, child] of this.ownChildren) if (child) yield [name, child];
  }

  /** Every module of the tree under its dotted path, this one first under the empty path; wrappers are looked through. */
  *namedModules(): IterableIterator<[path: string, module: Module]> {
    for (const { path, module } of moduleTree(this).nodes) yield [path, module];
  }

  /** Parameters of the whole tree under their dotted names; a tied parameter appears once, as in torch, unless `removeDuplicate` is false. */
  *namedParameters(options: { readonly removeDuplicate?: boolean } = {}): IterableIterator<[name: string, parameter: Parameter]> {
    const seen = new Set<Parameter>();
    for (const { module, prefix } of moduleTree(this).nodes) {
      for (const [name, parameter] of module.ownParameters) {
        if (parameter === null || (seen.has(parameter) && options.removeDuplicate !== false)) continue;
        seen.add(parameter);
        yield [prefix + name, parameter];
      }
    }
  }

  /** Buffers of the whole tree, persistent or not, under their dotted names; one that is registered twice appears once. */
  *namedBuffers(options: { readonly removeDuplicate?: boolean } = {}): IterableIterator<[name: string, buffer: Tensor]> {
    const seen = new Set<Tensor>();
    for (const { module, prefix } of moduleTree(this).nodes) {
      for (const [name, buffer] of module.ownBuffers) {
        if (buffer === null || (seen.has(buffer.held) && options.removeDuplicate !== false)) continue;
        seen.add(buffer.held);
        yield [prefix + name, buffer.held];
      }
    }
  }

  /**
   * The module at a dotted path; the empty path is this module. Wrappers on the way are looked through.
   * @throws {UsageError} RANKCAST_MODULE_NAME when the path leads nowhere.
   */
  getSubmodule(path: string): Module {
    const found = moduleTree(this).nodes.find((node) => node.path === path);
    if (found) return found.module;
    throw new UsageError("RANKCAST_MODULE_NAME", `${this.typeName} has no module at ${quote(path)}`, { details: { path } });
  }

  /**
   * Parameters and persistent buffers of the tree with versions as metadata and extra state: views of the live tensors, no copies.
   * @throws {StateDictError} RANKCAST_PARAMETER_OPEN when a parameter's shape is still open.
   */
  stateDict(): StateDict {
    return collectStateDict(this);
  }

  /** Planning step of this module alone. Override it to load an old layout; call `super.loadFromStateDict(view)` for the usual keys. */
  loadFromStateDict(view: LoadView): void {
    view.planLocal();
  }

  /** Adds a hook that runs before this module's own keys are planned. Returns its disposer. */
  registerLoadPreHook(hook: LoadPreHook): () => void {
    this.#preHooks ??= new Set();
    return addHook(this.#preHooks, hook);
  }

  /** Adds a hook that runs after this module and its descendants are planned. Returns its disposer. */
  registerLoadPostHook(hook: LoadPostHook): () => void {
    this.#postHooks ??= new Set();
    return addHook(this.#postHooks, hook);
  }

  /** Hooks in the order of registration. */
  get loadPreHooks(): ReadonlySet<LoadPreHook> {
    return this.#preHooks ?? NO_HOOKS;
  }

  /** Hooks in the order of registration. */
  get loadPostHooks(): ReadonlySet<LoadPostHook> {
    return this.#postHooks ?? NO_HOOKS;
  }

  /** Whether planning a load has to ask this module: it overrides `loadFromStateDict` or has hooks. */
  get hasOwnLoading(): boolean {
    return this.loadFromStateDict !== Module.prototype.loadFromStateDict || this.loadPreHooks.size + this.loadPostHooks.size > 0;
  }
}

const NONE: ReadonlyMap<string, never> = new Map<string, never>();
const NO_NAMES: ReadonlySet<string> = new Set();
const NO_HOOKS: ReadonlySet<never> = new Set<never>();

function addHook<T>(hooks: Set<T>, hook: T): () => void {
  hooks.add(hook);
  bumpStructureEpoch();
  return () => {
    hooks.delete(hook);
    bumpStructureEpoch();
  };
}
