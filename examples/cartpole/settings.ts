/** What the launcher tells the ranks. Plain data. */

/** How the loop runs. */
export interface CartPoleSettings {
  /** The policy to begin with. */
  readonly weights: string;
  /** Where actors reach the learner. */
  readonly socketPath: string;
  /** The most training steps. */
  readonly updates: number;
  /** Mean return that ends the loop. */
  readonly goal: number;
  /** File for the learning curve, SVG. */
  readonly curveFile: string;
  /** Whether actors wait for each update (`group.broadcastStateDict`) instead of taking the latest one between their steps (`group.publish`). */
  readonly waits: boolean;
}
