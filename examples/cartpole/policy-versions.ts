/** Which policies there were: the proof that no replica ever played with a mixture of two. */
import { digestStateDict, type StateDict } from "@rankcast/core";
import type { Rollout } from "./rollout.ts";

/** Digests of everything that was published, in order. */
export class PolicyVersions {
  readonly #numbers = new Map<string, number>();

  /** `initial` is what all replicas have loaded. */
  constructor(initial: StateDict) {
    this.add(initial);
  }

  /** A policy that is about to be published. */
  add(policy: StateDict): void {
    this.#numbers.set(digestStateDict(policy), this.#numbers.size);
  }

  /**
   * How many versions the oldest policy that played is behind the newest.
   * @throws {Error} when a replica played with weights that were never published as a whole.
   */
  lagOf(rollouts: readonly Rollout[]): number {
    const numbers = rollouts.map(({ policyDigest }) => this.#numbers.get(policyDigest));
    const strangers = numbers.filter((number) => number === undefined).length;
    if (strangers > 0) throw new Error(`${strangers} of ${rollouts.length} replicas played with weights that no version has`);
    return this.#numbers.size - 1 - Math.min(...numbers.map((number) => number ?? 0));
  }
}
