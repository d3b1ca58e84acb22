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
  Storage,
  Tensor,
} from "@rankcast/core";
import { bindStateDict, commitStateDict, copyInto, decodeManifest, planStateDict, type StateDictPlan } from "@rankcast/core/runtime";
import { type Delivery, receiveDelivery } from "./delivery.ts";
import { digestModule } from "./digest-module.ts";
import { touchPages } from "./touch-pages.ts";

export type { Delivery } from "./delivery.ts";

/** How weights go into a replica. Structured-cloneable when it is meant for a thread. */
export interface ReplicaLoadOptions extends LoadStateDictOptions {
  /** Key rewrites, applied in order. Default `[["^module\\.", ""]]`. */
  readonly revKeys?: RevKeys;
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

/** One tensor of a replica, copied into shared memory: crosses threads without another copy. */
export interface ExportedTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array<SharedArrayBuffer>;
}

/** See the module comment. */
export class ReplicaHost {
  /** The model; null until the first load when it is to be built from the checkpoint. */
  model: Module | null;
  #warnings: readonly string[] = [];
  #prepared: { plan: StateDictPlan; model: Module; renamed: number } | null = null;

  constructor(model: Module | null) {
    this.model = model;
  }

  /**
   * Attaches the weights, rewrites keys, plans. The model is not touched.
   * @throws {StateDictError} for whatever policies forbid; {CheckpointError} when segments cannot be attached.
   */
  prepare(delivery: Delivery, options: ReplicaLoadOptions): void {
    this.#prepared = null;
    const manifest = decodeManifest(delivery.manifest, compileLimits(delivery.limits));
    const storages = receiveDelivery(delivery, manifest);
    const { stateDict, renamed, warnings } = reviseKeys(bindStateDict(manifest, storages), options.revKeys);
    const model = this.model ?? moduleFromStateDict(stateDict, { meta: true });
    const plan = planStateDict(model, stateDict, options);
    // Here and not in the commit: the coordinator verifies meanwhile, and nobody waits at the last barrier.
    if (options.prefault) touchPages(storages);
    this.#warnings = warnings;
    this.#prepared = { plan, model, renamed };
  }

  /**
   * Makes the prepared weights the model's own.
   * @throws {DistributionError} RANKCAST_PROTOCOL when nothing is prepared.
   */
  commit(): ReplicaReport {
    const prepared = this.#prepared;
    if (!prepared) throw new DistributionError("RANKCAST_PROTOCOL", "commit without prepare", {});
    this.#prepared = null;
    commitStateDict(prepared.plan);
    this.model = prepared.model;
    return { ...prepared.plan.report, renamed: prepared.renamed };
  }

  /** Forgets what was prepared; the model stays as it was. */
  discard(): void {
    this.#prepared = null;
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
    return { digest: digest && this.model ? digestModule(this.model) : null, warnings: this.#warnings };
  }
}
