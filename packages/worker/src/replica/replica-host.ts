/**
 * One replica: its model and what is prepared for it. Loading has two steps with a barrier between them: `prepare` plans and validates and
 * touches nothing, `commit` swaps or copies (law L10).
 */

import {
  compileLimits,
  DistributionError,
  type DType,
  type LoadStateDictOptions,
  type Module,
  moduleFromStateDict,
  type ReplicaReport,
  type RevKeys,
  reviseKeys,
  type StateDict,
  Storage,
  Tensor,
} from "@rankcast/core";
import {
  bindStateDict,
  castWish,
  commitStateDict,
  copyInto,
  decodeManifest,
  extraTensors,
  looksAtSources,
  markRewritten,
  nativeMemory,
  type OrderWish,
  orderWish,
  planStateDict,
  type SegmentReuse,
  type StateDictPlan,
  stageStateDict,
} from "@rankcast/core/runtime";
import { type Delivery, receiveDelivery } from "./delivery.ts";
import { digestModule } from "./digest-module.ts";
import { ForeseenLoad } from "./foreseen-load.ts";
import { receiveCasts } from "./receive-casts.ts";
import { ownPages, touchPages } from "./touch-pages.ts";
import { layOver, namesNotGiven, type WeightLayer } from "./weight-layers.ts";
import { WeightTurns } from "./weight-turns.ts";
import type { WeightsLabel } from "./weights-label.ts";

export type { Delivery } from "./delivery.ts";

/** How weights go into a replica. Structured-cloneable when it is meant for a thread. */
export interface ReplicaLoadOptions extends LoadStateDictOptions {
  /** Key rewrites, applied in order. Default `[["^module\\.", ""]]`. */
  readonly revKeys?: RevKeys;
  /** Two keys that get one name: an error (default), or `last` keeps the last of them silently, as vis4d and mmengine do. */
  readonly onCollision?: "error" | "last";
  /** Read one byte of every page before the barrier, so that later first touches cost nothing. */
  readonly prefault?: boolean;
}

/** What a replica's process or thread can say about the state it holds. */
export interface ReplicaFacts {
  /** SHA-256 over names, dtypes, shapes and bytes of the model's state dict. */
  readonly digest: string | null;
  /** What the key rules of the last load are probably not meant to say. */
  readonly warnings: readonly string[];
}

/** A set of segments that a replica has attached for an earlier update. */
export interface KeptSet {
  readonly layout: string;
  /** Null: nothing is kept. */
  readonly set: string | null;
}

/** Sets of one layout that a replica keeps mapped: those of several sources, or of a publisher with slow subscribers. */
const KEPT_SETS_MAX = 8;

/** Weights that a replica has attached. */
interface BoundWeights {
  readonly stateDict: StateDict;
  readonly options: ReplicaLoadOptions;
  readonly label: WeightsLabel;
  /** Whether its segments are written again for later updates. */
  readonly isRewritten: boolean;
}

type Layers = readonly WeightLayer<BoundWeights>[];

/** What is ready to be committed. */
interface Prepared {
  readonly plan: StateDictPlan;
  readonly model: Module;
  readonly renamed: number;
  readonly stateDict: StateDict;
  readonly options: ReplicaLoadOptions;
  readonly reuse: SegmentReuse | null;
  /** Tensors that are copied already. */
  readonly copiedAhead: number;
}

/** One tensor of a replica, copied into shared memory: crosses threads without another copy. */
export interface ExportedTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array<SharedArrayBuffer>;
}

const SETTLE_MS = 250;

/** See the module comment. */
export class ReplicaHost {
  /** The model; null until the first load when it is to be built from the checkpoint. */
  model: Module | null;
  /** For a model of the main thread; those of a pool take turns there. */
  readonly turns = new WeightTurns();
  /** Copies that are made while a load's files arrive. */
  readonly ahead = new ForeseenLoad();
  #warnings: readonly string[] = [];
  #prepared: Prepared | null = null;
  /** What the sets of one layout of updates were bound to; only the last layout's. */
  #kept: { readonly layout: string; readonly sets: Map<string, StateDict> } | null = null;
  #layers: Layers = [];
  /** Weights whose every tensor was copied: pages of theirs that are mapped here serve nobody. */
  #copied: StateDict | null = null;
  /** The layers before the commit or swap that was made last; null when there is nothing to take back. */
  #before: Layers | null = null;

  constructor(model: Module | null) {
    this.model = model;
  }

  /**
   * Attaches the weights, rewrites keys, plans. The model is not touched.
   * @throws {StateDictError} for whatever policies forbid; {CheckpointError} when segments cannot be attached.
   */
  prepare(delivery: Delivery, options: ReplicaLoadOptions): void {
    this.#prepared = null;
    this.#before = null;
    const manifest = decodeManifest(delivery.manifest, compileLimits(delivery.limits));
    const storages = receiveDelivery(delivery, manifest);
    const { stateDict, renamed, warnings } = reviseKeys(bindStateDict(manifest, storages), options.revKeys, {
      onCollision: options.onCollision ?? "error",
    });
    const model = this.model ?? moduleFromStateDict(stateDict, { meta: true });
    const { castOf, castStorages } = receiveCasts(delivery, manifest, storages);
    const plan = planStateDict(model, stateDict, { ...options, castOf });
    const copiedAhead = this.ahead.handOver(delivery.placed.foreseen, plan, storages);
    // Both here and not in the commit: the coordinator verifies meanwhile, and nobody waits at the last barrier.
    stageStateDict(plan);
    if (options.prefault) touchPages([...storages, ...castStorages]);
    this.#warnings = warnings;
    this.#prepared = { plan, model, renamed, stateDict, options, reuse: delivery.reuse, copiedAhead };
  }

  /** The type that a load would have to make new tensors of; advice for whoever fetches. */
  castWish(options: ReplicaLoadOptions): DType | null {
    return castWish(this.model, options);
  }

  /** In which order the model has its weights; advice for whoever publishes. */
  orderWish(): OrderWish {
    return orderWish(this.model);
  }

  /**
   * Makes the prepared weights the model's own.
   * @throws {DistributionError} RANKCAST_PROTOCOL when nothing is prepared.
   */
  commit(label: WeightsLabel): ReplicaReport {
    const prepared = this.#prepared;
    if (!prepared) throw new DistributionError("RANKCAST_PROTOCOL", "commit without prepare", {});
    this.#prepared = null;
    const { plan, stateDict, options, reuse } = prepared;
    commitStateDict(plan);
    this.model = prepared.model;
    this.#copied = looksAtSources(plan) ? null : stateDict;
    this.#keep({ stateDict, options, label, isRewritten: (reuse?.set ?? null) !== null }, plan.report, reuse);
    const { renamed, copiedAhead } = prepared;
    return { ...plan.report, renamed, ...(copiedAhead > 0 ? { copiedAhead } : {}) };
  }

  /**
   * Goes on to a set of an earlier update, whose bytes are another generation's by now; null when this replica never attached it (it is
   * younger, or another model).
   * @throws {StateDictError} when the model changed so that it does not fit any more.
   */
  swap({ layout, set }: KeptSet, options: ReplicaLoadOptions, label: WeightsLabel): ReplicaReport | null {
    this.#before = null;
    const stateDict = set !== null && this.#kept?.layout === layout ? this.#kept.sets.get(set) : undefined;
    if (!stateDict || !this.model) return null;
    // What the model wrote while it used this set two generations ago lies over the new bytes in pages of its own.
    forgetPages(stateDict);
    const bound: BoundWeights = { stateDict, options, label, isRewritten: true };
    const report = this.#adopt(bound);
    this.#keep(bound, report, { layout, set });
    return report;
  }

  /** Makes the pages of publications that the model looks at its own, so that their publishers may write over them. */
  own(): void {
    const published = this.#layers.filter(({ of }) => of.label.number !== null);
    if (published.length === 0) return;
    for (const { of } of published) ownPages(storagesOf(of.stateDict));
    this.#layers = this.#layers.map(({ of, notGiven }) => ({ of: { ...of, label: { ...of.label, number: null } }, notGiven }));
    this.#before = null;
    // Their sets must not be swapped to any more: what was copied would be dropped.
    this.#kept = null;
  }

  /**
   * Takes back what was committed or swapped to since the last `prepare` or `swap` began; the weights before must still be there.
   * @returns what the model's weights are called now; null when there was nothing to take back.
   */
  rollBack(): WeightsLabel | null {
    const before = this.#before;
    this.discard();
    const top = before?.at(-1);
    if (!before || !top || !this.model) return null;
    for (const { of } of before) this.#adopt(of);
    this.#layers = before;
    return top.of.label;
  }

  #keep(bound: BoundWeights, report: ReplicaReport, reuse: KeptSet | null): void {
    this.#before = this.#layers;
    this.#layers = layOver(this.#layers, { of: bound, notGiven: namesNotGiven(report) });
    if (reuse === null || reuse.set === null) return;
    if (this.#kept?.layout !== reuse.layout) this.#kept = { layout: reuse.layout, sets: new Map() };
    const { sets } = this.#kept;
    // The one that was not used for longest goes first.
    sets.delete(reuse.set);
    sets.set(reuse.set, bound.stateDict);
    const [oldest] = sets.keys();
    if (sets.size > KEPT_SETS_MAX && oldest !== undefined) sets.delete(oldest);
    // Others that load from this model's state from now on get copies.
    markRewritten(storagesOf(bound.stateDict), true);
  }

  /** Plans and commits weights that this replica follows: it may adopt what will be rewritten. */
  #adopt({ stateDict, options, isRewritten }: BoundWeights): ReplicaReport {
    const storages = storagesOf(stateDict);
    markRewritten(storages, false);
    try {
      const plan = planStateDict(this.model as Module, stateDict, options);
      commitStateDict(plan);
      return plan.report;
    } finally {
      if (isRewritten) markRewritten(storages, true);
    }
  }

  /** Forgets what was prepared, and what could be taken back; the model stays as it is. */
  discard(): void {
    this.#prepared = null;
    this.#before = null;
    this.ahead.forget();
  }

  /** A copy of the model's state, row-major. Empty before the first load. */
  exportState(): ExportedTensor[] {
    return [...(this.model?.stateDict() ?? [])].map(([name, tensor]) => {
      const bytes = new Uint8Array(new SharedArrayBuffer(tensor.nbytes));
      copyInto(new Tensor({ dtype: tensor.dtype, shape: tensor.shape, storage: new Storage(bytes.buffer, 0, bytes.byteLength) }), tensor);
      return { name, dtype: tensor.dtype, shape: tensor.shape, bytes };
    });
  }

  /** Digest of the model's state when asked for. */
  facts(digest: boolean): ReplicaFacts {
    // They can be read again, should the next update have to be taken back.
    if (this.#copied !== null) forgetPages(this.#copied);
    this.#copied = null;
    // The load is over; other ranks may still be hearing of it.
    setTimeout(() => nativeMemory(false)?.settle(), SETTLE_MS).unref();
    return { digest: digest && this.model ? digestModule(this.model) : null, warnings: this.#warnings };
  }
}

/** Lets go of the pages of mappings, and of what was written to them; the next look reads them anew. */
function forgetPages(stateDict: StateDict): void {
  const native = nativeMemory(false);
  for (const buffer of new Set([...storagesOf(stateDict)].map((storage) => storage.buffer))) {
    if (buffer !== null && native?.isMapped(buffer)) native.forgetWrites(buffer);
  }
}

function storagesOf(stateDict: StateDict): Set<Storage> {
  const tensors = [...stateDict.values(), ...extraTensors(stateDict.extraState.values())];
  return new Set(tensors.map(({ storage }) => storage));
}
