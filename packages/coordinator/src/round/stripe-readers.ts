/** A round whose weights every node reads a part of. */
import type { StripeReaders } from "../fetch/fetch-weights.ts";
import type { OtherNodes } from "./other-nodes.ts";
import type { Round } from "./round.ts";

/** What it needs of the owner of the rounds. */
export interface StripesHost {
  readonly others: OtherNodes;
  readonly now: () => number;
}

/** A round's nodes as readers of its weights. They read with the options of their own ranks, so a cast waits until every rank has asked. */
export function stripeReaders(round: Round, { others, now }: StripesHost): StripeReaders {
  const { signal } = round.cancel;
  return {
    nodeCount: others.count + 1,
    async cast(weights) {
      signal.throwIfAborted();
      const over = new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
      await Promise.race([round.begun, over]);
      round.offeredMs = now();
      return others.stripe(round.sequence, weights, signal);
    },
  };
}
