/** A module tree laid out flat: every module once per path, in torch's order, wrappers looked through. */
import { UsageError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { type MigrationRow, migrationsOf } from "./migrations.ts";
import type { Module } from "./module.ts";
import { structureEpoch } from "./structure-epoch.ts";
import type { TensorSlot } from "./tensor-slot.ts";

/** One key of the model's state dict. */
export interface LocalKey {
  readonly key: string;
  readonly slot: TensorSlot;
}

/** A module at one path. A module that is registered twice has two nodes. */
export interface ModuleNode {
  /** Never a wrapper. */
  readonly module: Module;
  readonly path: string;
  /** The path with a dot behind it; empty for the root. */
  readonly prefix: string;
  /** Children by name; null for children that are registered as absent. */
  readonly children: ReadonlyMap<string, ModuleNode | null>;
  /** Own keys: parameters, then persistent buffers, absent ones left out. */
  readonly locals: readonly LocalKey[];
  readonly migrations: readonly MigrationRow[];
  /** Index in `nodes` of the first node that is no descendant. */
  end: number;
}

/** The whole tree. */
export class ModuleTree {
  readonly root: ModuleNode;
  /** Parents before children, children in order of registration. */
  readonly nodes: readonly ModuleNode[];
  /** Whether some module has hooks of its own. */
  readonly hasOwnLoading: boolean;
  /** When it was built. */
  readonly epoch = structureEpoch();
  /** Number of keys of the state dict. */
  readonly size: number;
  #byKey: Map<string, LocalKey> | undefined;

  constructor(root: ModuleNode, nodes: readonly ModuleNode[], hasOwnLoading: boolean) {
    this.root = root;
    this.nodes = nodes;
    this.hasOwnLoading = hasOwnLoading;
    this.size = nodes.reduce((sum, { locals }) => sum + locals.length, 0);
  }

  /** Every key of the state dict, in its order. Made on first use: a load in which every key finds its place does without. */
  get byKey(): ReadonlyMap<string, LocalKey> {
    this.#byKey ??= new Map(this.nodes.flatMap(({ locals }) => locals.map((local) => [local.key, local])));
    return this.#byKey;
  }
}

const TREES = new WeakMap<Module, ModuleTree>();

/**
 * The tree under `root`; kept until the structure of some module changes, because training loops load thousands of times.
 * @throws {UsageError} RANKCAST_MODULE_CYCLE when a module contains itself.
 */
export function moduleTree(root: Module): ModuleTree {
  const known = TREES.get(root);
  if (known && known.epoch === structureEpoch()) return known;
  const tree = buildTree(root);
  TREES.set(root, tree);
  return tree;
}

interface Frame {
  readonly node: ModuleNode;
  readonly children: Map<string, ModuleNode | null>;
  readonly rest: Iterator<[string, Module | null]>;
}

/** Walks with an explicit stack: a model made from a checkpoint is as deep as its keys have dots. */
class TreeBuilder {
  readonly nodes: ModuleNode[] = [];
  hasOwnLoading = false;
  readonly #open = new Set<Module>();
  readonly #stack: Frame[] = [];

  build(top: Module): ModuleNode {
    const root = this.#enter(top, "");
    for (let frame = this.#stack.at(-1); frame; frame = this.#stack.at(-1)) {
      const next = frame.rest.next();
      if (next.done) this.#leave(frame.node);
      else {
        const [name, child] = next.value;
        frame.children.set(name, child && this.#enter(child, frame.node.prefix + name));
      }
    }
    return root;
  }

  #enter(wrapped: Module, path: string): ModuleNode {
    const module = unwrap(wrapped, path);
    if (this.#open.has(module)) throw cycleAt(module, path);
    const prefix = path === "" ? "" : `${path}.`;
    const grown = module.ownChildren.size > 0 ? new Map<string, ModuleNode | null>() : undefined;
    const node = {
      module,
      path,
      prefix,
      children: grown ?? NO_CHILDREN,
      locals: localsOf(module, prefix),
      migrations: migrationsOf(module.typeName),
      end: this.nodes.length + 1,
    };
    this.nodes.push(node);
    this.hasOwnLoading ||= module.hasOwnLoading;
    if (grown) {
      this.#open.add(module);
      this.#stack.push({ node, children: grown, rest: module.ownChildren.entries() });
    }
    return node;
  }

  #leave(node: ModuleNode): void {
    node.end = this.nodes.length;
    this.#open.delete(node.module);
    this.#stack.pop();
  }
}

const NO_CHILDREN: ReadonlyMap<string, ModuleNode | null> = new Map();
const NO_LOCALS: readonly LocalKey[] = [];

function buildTree(top: Module): ModuleTree {
  const builder = new TreeBuilder();
  const root = builder.build(top);
  return new ModuleTree(root, builder.nodes, builder.hasOwnLoading);
}

function localsOf(module: Module, prefix: string): readonly LocalKey[] {
  const { ownParameters, ownBuffers } = module;
  if (ownParameters.size + ownBuffers.size === 0) return NO_LOCALS;
  const locals: LocalKey[] = [];
  for (const [name, slot] of ownParameters) if (slot) locals.push({ key: prefix + name, slot });
  for (const [name, slot] of ownBuffers) if (slot?.persistent) locals.push({ key: prefix + name, slot });
  return locals;
}

/** Looks through wrappers around wrappers, by what each says of itself and never by what its children are (semantics G7). */
function unwrap(module: Module, path: string): Module {
  let current = module;
  let inner = current.unwrapped();
  if (inner === current) return current;
  const seen = new Set<Module>();
  for (; inner !== current; inner = current.unwrapped()) {
    if (seen.has(current)) throw cycleAt(current, path);
    seen.add(current);
    current = inner;
  }
  return current;
}

function cycleAt(module: Module, path: string): UsageError {
  return new UsageError("RANKCAST_MODULE_CYCLE", `${module.typeName} contains itself, found at ${quote(path)}`, { details: { path } });
}
