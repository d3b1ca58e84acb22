/**
 * One replica: its model and what is prepared for it. Loading has two steps with a barrier between them: `prepare` plans and validates and
 * touches nothing, `commit` swaps or copies (law L10).
 */

import { isDeepStrictEqual } from "node:util";
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
  Storage,
  Tensor,
} from "@rankcast/core";
import {
  Adoption,
  bindStateDict,
  castWish,
  commitStateDict,
  copyInto,
  decodeManifest,
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
import { type AttachedWeights, attachedWeights, forgetPages, storagesOf } from "./attached-weights.ts";
import { type Delivery, receiveDelivery } from "./delivery.ts";
import { digestModule } from "./digest-module.ts";
import { ForeseenLoad } from "./foreseen-load.ts";
import { type KeptSet, KeptSets } from "./kept-sets.ts";
import { receiveCasts } from "./receive-casts.ts";
import { ownPages, touchPages } from "./touch-pages.ts";
import { layOver, namesNotGiven, type WeightLayer } from "./weight-layers.ts";
import { WeightTurns } from "./weight-turns.ts";
import type { WeightsLabel } from "./weights-label.ts";

export type { Delivery } from "./delivery.ts";
export type { KeptSet } from "./kept-sets.ts";

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

/** Weights that the model was given. */
interface BoundWeights {
  readonly weights: AttachedWeights;
  readonly label: WeightsLabel;
  /** Whether its segments are written again for later updates. */
  readonly isRewritten: boolean;
}

/** What a swap did. */
export interface Swapped {
  readonly report: ReplicaReport;
  /** Whether the report is that of the swap before. */
  readonly isRepeated: boolean;
}

type Layers = readonly WeightLayer<BoundWeights>[];

/** What is ready to be committed. */
interface Prepared {
  readonly plan: StateDictPlan;
  readonly model: Module;
  readonly renamed: number;
  readonly weights: AttachedWeights;
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
/** Of this thread: what a load has mapped is counted after it, and a load before it (a rehearsal) must not have it counted in its middle. */
let settling: NodeJS.Timeout | undefined;

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
  readonly #kept = new KeptSets<AttachedWeights>();
  #layers: Layers = [];
  /** Weights whose every tensor was copied: pages of theirs that are mapped here serve nobody. */
  #copied: AttachedWeights | null = null;
  /** The layers before the commit or swap that was made last; null when there is nothing to take back. */
  #before: Layers | null = null;
  /** Of the last swap. */
  #swapReport: ReplicaReport | null = null;

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
    clearTimeout(settling);
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
    this.#prepared = { plan, model, renamed, weights: attachedWeights(stateDict, options), reuse: delivery.reuse, copiedAhead };
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
    const { plan, model, weights, reuse } = prepared;
    commitStateDict(plan);
    this.model = model;
    this.#copied = looksAtSources(plan) ? null : weights;
    const isRewritten = (reuse?.set ?? null) !== null;
    if (isRewritten) weights.adoption = Adoption.of(model, plan);
    this.#keep({ weights, label, isRewritten }, plan.report, reuse);
    const { renamed, copiedAhead } = prepared;
    return { ...plan.report, renamed, ...(copiedAhead > 0 ? { copiedAhead } : {}) };
  }

  /**
   * Goes on to a set of an earlier update, whose bytes are another generation's by now; null when this replica never attached it (it is
   * younger, or another model).
   * @throws {StateDictError} when the model changed so that it does not fit any more.
   */
  swap(kept: KeptSet, label: WeightsLabel): Swapped | null {
    this.#before = null;
    const weights = this.#kept.get(kept);
    if (!weights || !this.model) return null;
    // What the model wrote while it used this set two generations ago lies over the new bytes in pages of its own.
    forgetPages(weights);
    const bound: BoundWeights = { weights, label, isRewritten: true };
    const report = this.#adopt(bound);
    this.#keep(bound, report, kept);
    const isRepeated = this.#swapReport === report || isDeepStrictEqual(this.#swapReport, report);
    this.#swapReport = report;
    return { report, isRepeated };
  }

  /** Makes the pages of publications that the model looks at its own, so that their publishers may write over them. */
  own(): void {
    const published = this.#layers.filter(({ of }) => of.label.number !== null);
    if (published.length === 0) return;
    for (const { of } of published) ownPages(storagesOf(of.weights.stateDict));
    this.#layers = this.#layers.map(({ of, notGiven }) => ({ of: { ...of, label: { ...of.label, number: null } }, notGiven }));
    this.#before = null;
    // Their sets must not be swapped to any more: what was copied would be dropped.
    this.#kept.clear();
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
    const isNew = this.#kept.get(reuse) !== bound.weights;
    this.#kept.keep(reuse, bound.weights);
    // Others that load from this model's state from now on get copies.
    if (isNew) markRewritten(storagesOf(bound.weights.stateDict), true);
  }

  /** Commits weights that this replica follows, as often as they come: it may adopt what will be rewritten. */
  #adopt({ weights, isRewritten }: BoundWeights): ReplicaReport {
    if (weights.adoption?.repeat()) return weights.adoption.report;
    const model = this.model as Module;
    const storages = storagesOf(weights.stateDict);
    markRewritten(storages, false);
    try {
      const plan = planStateDict(model, weights.stateDict, weights.options);
      commitStateDict(plan);
      weights.adoption = Adoption.of(model, plan);
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
    clearTimeout(settling);
    settling = setTimeout(() => nativeMemory(false)?.settle(), SETTLE_MS).unref();
    return { digest: digest && this.model ? digestModule(this.model) : null, warnings: this.#warnings };
  }
}
