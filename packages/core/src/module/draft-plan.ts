/**
 * Visiting a module tree with a state dict, as torch's `load_state_dict` does, but touching nothing: parents before children, each
 * module's migrations and pre hooks, its own keys, its children, its post hooks. Linear: one look-up per key of the model, one pass over the
 * keys of the checkpoint (semantics F20).
 */
import { StateDictError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import type { ModuleMetadata, StateDict } from "../tensor/state-dict.ts";
import { EXTRA_STATE_KEY } from "./collect-state-dict.ts";
import type { LoadView } from "./load-hooks.ts";
import type { CompiledLoadOptions } from "./load-options.ts";
import { needMigration } from "./migrations.ts";
import type { LocalKey, ModuleNode, ModuleTree } from "./module-tree.ts";
import { ModuleView, type ViewHost } from "./module-view.ts";
import { PlanDraft } from "./plan-draft.ts";
import { BaseLayer, deepestNode, EditedLayer, type StateDictLayer } from "./state-dict-layer.ts";
import { AliasIndex } from "./tied-weights.ts";

/** A state dict, or any Map that stands for one. */
export type StateDictLike = StateDict | ReadonlyMap<string, unknown>;

/**
 * Visits every module and collects what a load would do.
 * @throws {StateDictError} RANKCAST_STATE_DICT_HOOK when a hook throws or returns a value.
 */
export function draftPlan(tree: ModuleTree, stateDict: StateDictLike, options: CompiledLoadOptions): PlanDraft {
  const walk = new PlanWalk(tree, stateDict, options, tree.hasOwnLoading);
  const draft = walk.run();
  // A migration edited the state dict, so what is unexpected depends on the module: visit again and look at each.
  return walk.mustVisitAgain ? new PlanWalk(tree, stateDict, options, true).run() : draft;
}

const NO_METADATA: ModuleMetadata = Object.freeze({});
const NO_DEFAULTS: ReadonlyMap<string, string> = new Map();

class PlanWalk {
  readonly #tree: ModuleTree;
  readonly #draft: PlanDraft;
  readonly #strict: boolean;
  readonly #base: BaseLayer;
  readonly #aliases: AliasIndex;
  readonly #metadata: ReadonlyMap<string, ModuleMetadata>;
  readonly #extraState: ReadonlyMap<string, unknown>;
  readonly #strayExtra: ReadonlyMap<ModuleNode, readonly string[]>;
  /**
   * Whether unexpected keys are listed module by module while hooks can see them. Without hooks they are listed at the end, and not even
   * looked for when every key of the checkpoint found its place.
   */
  readonly #live: boolean;
  #found = 0;
  mustVisitAgain = false;
  /** Layers that are in force, innermost last; each until its module's last descendant. */
  readonly #layers: { readonly layer: StateDictLayer; readonly end: number }[];
  /** Modules that are not left yet and have post hooks. */
  readonly #open: ModuleNode[] = [];

  constructor(tree: ModuleTree, stateDict: StateDictLike, options: CompiledLoadOptions, live: boolean) {
    this.#live = live;
    this.#tree = tree;
    this.#draft = new PlanDraft(options);
    this.#strict = options.strict;
    this.#base = new BaseLayer(stateDict, tree);
    this.#aliases = new AliasIndex(tree);
    this.#metadata = "metadata" in stateDict ? stateDict.metadata : new Map();
    this.#extraState = "extraState" in stateDict ? stateDict.extraState : new Map();
    this.#strayExtra = strayExtraState(this.#extraState, tree);
    this.#layers = [{ layer: this.#base, end: tree.nodes.length }];
  }

  run(): PlanDraft {
    const { nodes } = this.#tree;
    for (let index = 0; index < nodes.length; index += 1) {
      const node = nodes[index] as ModuleNode;
      this.#leaveUntil(index);
      if (node.module.hasOwnLoading || this.#needsMigration(node)) this.#enterWithView(node);
      else this.#planLocal(node, this.#top(), NO_DEFAULTS);
    }
    this.#leaveUntil(nodes.length);
    if (!this.#live) this.#listUnexpected();
    return this.#draft;
  }

  #needsMigration({ path, migrations }: ModuleNode): boolean {
    return migrations.length > 0 && needMigration(migrations, this.#metadata.get(path)?.["version"]);
  }

  #listUnexpected(): void {
    if (this.#found === this.#base.size && this.#extraState.size === 0) return;
    for (const node of this.#tree.nodes) this.#addUnexpected(node, this.#base);
  }

  #leaveUntil(index: number): void {
    for (let node = this.#open.at(-1); node && node.end <= index; node = this.#open.at(-1)) {
      this.#open.pop();
      this.#runPostHooks(node);
    }
    while ((this.#layers.at(-1)?.end ?? index + 1) <= index && this.#layers.length > 1) this.#layers.pop();
  }

  #enterWithView(node: ModuleNode): void {
    const { module, migrations } = node;
    if (module.loadPostHooks.size > 0) this.#open.push(node);
    if (module.hasOwnLoading || migrations.some(({ structural }) => !structural)) this.#draft.repeatable = false;
    const host = this.#makeHost(node);
    const view = new ModuleView(host);
    const version = this.#metadata.get(node.path)?.["version"];
    for (const row of migrations) if (needMigration([row], version)) guardHook(node, () => row.migrate(view));
    if (module.hasOwnLoading) guardHook(node, () => module.loadFromStateDict(view));
    else host.planLocal(view);
  }

  #top(): StateDictLayer {
    return this.#layers.at(-1)?.layer ?? this.#base;
  }

  #makeHost(node: ModuleNode): ViewHost {
    let own: EditedLayer | undefined;
    const defaults = new Map<string, string>();
    return {
      node,
      metadata: withoutAssignFlag(this.#metadata.get(node.path) ?? NO_METADATA),
      strict: this.#strict,
      draft: this.#draft,
      defaults,
      layer: () => this.#top(),
      edited: () => {
        if (own === undefined) {
          own = new EditedLayer(this.#top(), this.#tree, node);
          this.#layers.push({ layer: own, end: node.end });
          this.mustVisitAgain ||= !this.#live;
        }
        return own;
      },
      planLocal: (view: LoadView) => {
        for (const hook of node.module.loadPreHooks) guardHook(node, () => hook(view));
        this.#planLocal(node, this.#top(), defaults);
      },
    };
  }

  #planLocal(node: ModuleNode, layer: StateDictLayer, defaults: ReadonlyMap<string, string>): void {
    for (const local of node.locals) {
      let value = layer.get(local.key);
      // A value that is no tensor lies beside the tensors in the state dict of a file.
      if (value === undefined && this.#extraState.size > 0) value = this.#extraState.get(local.key);
      if (value === undefined) this.#addMissing(local);
      else {
        this.#found += 1;
        this.#draft.addKey(local, value, defaults.size === 0 ? undefined : defaults.get(local.key));
      }
    }
    if (node.module.setExtraState) this.#planExtraState(node, layer);
    if (this.#live) this.#addUnexpected(node, layer);
  }

  #addMissing(local: LocalKey): void {
    const alias = this.#aliases.aliasesOf(local).find((other) => this.#base.get(other.key) !== undefined);
    if (alias === undefined) {
      this.#draft.missing.push(local.key);
      return;
    }
    this.#draft.tied.push({ key: local.key, sameAs: alias.key });
    this.#draft.joins.push({ slot: local.slot, sameAs: alias.key });
  }

  #planExtraState({ module, prefix }: ModuleNode, layer: StateDictLayer): void {
    const key = prefix + EXTRA_STATE_KEY;
    const inTensors = layer.get(key);
    const known = inTensors !== undefined || this.#extraState.has(key);
    if (known) this.#draft.extraStates.push({ module, key, state: inTensors ?? this.#extraState.get(key) });
    else this.#draft.missing.push(key);
  }

  #addUnexpected(node: ModuleNode, layer: StateDictLayer): void {
    const { unexpected } = this.#draft;
    const unplaced = layer.unplaced().get(node) ?? NO_KEYS;
    // torch's order: the module's own extra state first.
    if (!node.module.setExtraState) {
      const key = node.prefix + EXTRA_STATE_KEY;
      if (unplaced.includes(key) || (this.#extraState.size > 0 && this.#extraState.has(key))) unexpected.push(key);
    }
    for (const key of unplaced) if (!isExtraState(node, key)) unexpected.push(key);
    for (const key of this.#strayExtra.get(node) ?? NO_KEYS) unexpected.push(key);
  }

  #runPostHooks(node: ModuleNode): void {
    const incompatible = { missing: this.#draft.missing, unexpected: this.#draft.unexpected };
    for (const hook of node.module.loadPostHooks) {
      const returned: unknown = guardHook(node, () => hook(node.module, incompatible));
      if (returned !== undefined) throw hookFailure(node, POST_HOOK_RETURNED);
    }
  }
}

const NO_KEYS: readonly string[] = [];

function isExtraState(node: ModuleNode, key: string): boolean {
  return key.length === node.prefix.length + EXTRA_STATE_KEY.length && key.endsWith(EXTRA_STATE_KEY);
}

/** torch's own sentence (semantics G6), with the name of our method. */
const POST_HOOK_RETURNED =
  "Hooks registered with registerLoadPostHook are not expected to return new values, if incompatible keys need to be modified, it should be done inplace.";

function guardHook<T>(node: ModuleNode, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw error instanceof StateDictError ? error : hookFailure(node, error instanceof Error ? error.message : String(error), error);
  }
}

function hookFailure(node: ModuleNode, reason: string, cause?: unknown): StateDictError {
  return new StateDictError("RANKCAST_STATE_DICT_HOOK", `load hook of ${node.module.typeName} at ${quote(node.path)}: ${reason}`, {
    details: { module: node.path, type: node.module.typeName },
    ...(cause === undefined ? {} : { cause }),
  });
}

/** torch once wrote this flag into saved metadata; obeying it would make a plain load assign (semantics F13). */
function withoutAssignFlag(metadata: ModuleMetadata): ModuleMetadata {
  if (!("assign_to_params_buffers" in metadata)) return metadata;
  const { assign_to_params_buffers: _, ...rest } = metadata;
  return rest;
}

/** Values beside the tensors that have no place: extra state where the model has no module, and what no name of the model is. */
function strayExtraState(extraState: ReadonlyMap<string, unknown>, tree: ModuleTree): ReadonlyMap<ModuleNode, readonly string[]> {
  const stray = new Map<ModuleNode, string[]>();
  for (const key of extraState.keys()) {
    const { node, rest } = deepestNode(tree.root, key);
    if (rest === EXTRA_STATE_KEY || tree.byKey.has(key) || node.module.passedOver.has(rest)) continue;
    stray.set(node, [...(stray.get(node) ?? []), key]);
  }
  return stray;
}
