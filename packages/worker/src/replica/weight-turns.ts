/**
 * Who may change the weights of a set of replicas: rounds and a subscription take turns, each from its first step (attach, plan) to its last (commit,
 * swap, taken back), because what one has prepared must not be committed, replaced or taken back by the other.
 */
import { DistributionError } from "@rankcast/core";

/** See the module comment. */
export class WeightTurns {
  #tail: Promise<void> = Promise.resolve();
  #isFollowing = false;

  /** Waits for the turns before; the returned function ends this one and may be called twice. */
  async take(): Promise<() => void> {
    let end = (): void => undefined;
    const before = this.#tail;
    this.#tail = new Promise((resolve) => {
      end = resolve;
    });
    await before;
    return end;
  }

  /**
   * A subscription begins; the returned function ends it. With two, replicas would go back to versions that the other one has left behind.
   * @throws {DistributionError} RANKCAST_USAGE while there is another one.
   */
  follow(): () => void {
    if (this.#isFollowing) {
      throw new DistributionError("RANKCAST_USAGE", "these replicas have a subscription already", {
        remedy: "Close the other subscription first; one takes the versions of all publishers.",
      });
    }
    this.#isFollowing = true;
    let isOver = false;
    return () => {
      if (!isOver) this.#isFollowing = false;
      isOver = true;
    };
  }
}
