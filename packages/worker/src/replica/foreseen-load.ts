/** The load that a replica copies ahead for, if there is one. Nothing depends on it: whatever goes wrong here, the load does without. */
import type { Module, Storage } from "@rankcast/core";
import type { StateDictPlan } from "@rankcast/core/runtime";
import { AheadCopies, canCopyAhead, type Foreseen } from "./ahead-copies.ts";
import type { ReplicaLoadOptions } from "./replica-host.ts";

/** See the module comment. */
export class ForeseenLoad {
  #copies: AheadCopies | null = null;

  /**
   * Plans to copy from weights that are arriving; gives the storages that something is copied from. The model is not touched.
   * @throws {CheckpointError} whatever forbids the load.
   */
  foresee(model: Module | null, foreseen: Foreseen, options: ReplicaLoadOptions): readonly number[] {
    this.forget();
    if (!canCopyAhead(model, options)) return [];
    this.#copies = new AheadCopies(model, foreseen, options);
    return this.#copies.storages;
  }

  /** Copies from storages that are here now. */
  copy(storages: readonly number[]): void {
    try {
      this.#copies?.copy(storages);
    } catch {
      // Whatever it is, memory or a download that began anew: the load goes as without, or fails with its own words.
      this.forget();
    }
  }

  /** Gives the plan of the load with this number what was copied for it; returns how many tensors that were. All other copies are let go of. */
  handOver(sequence: number | undefined, plan: StateDictPlan, storages: readonly Storage[]): number {
    const count = sequence !== undefined && this.#copies?.sequence === sequence ? this.#copies.handOver(plan, storages) : 0;
    this.forget();
    return count;
  }

  /** Lets go of copies and files. Safe to call twice. */
  forget(): void {
    this.#copies?.close();
    this.#copies = null;
  }
}
