/** What an actor saw and did with one version of the policy. */

/** Steps of several environments, step by step; everything that is per step has `steps * environments` entries. */
export interface Rollout {
  readonly environments: number;
  readonly steps: number;
  /** SHA-256 of the policy that chose the actions: the learner knows by it which weights an actor really had. */
  readonly policyDigest: string;
  /** States, 4 numbers each, and those they led to. */
  readonly states: Float32Array;
  readonly nextStates: Float32Array;
  readonly actions: Int32Array;
  /** Logarithm of the probability with which each action was chosen. */
  readonly logProbabilities: Float32Array;
  /** 1 where the pole fell, and 1 where an episode ended for that or another reason. */
  readonly failed: Uint8Array;
  readonly ended: Uint8Array;
  /** Of the episodes that ended, in order. */
  readonly episodeReturns: readonly number[];
}
