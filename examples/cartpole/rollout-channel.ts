/** How rollouts get from the actors to the learner: HTTP over a unix socket. Weights go the other way, through rankcast. */
import { createServer, request } from "node:http";
import { buffer } from "node:stream/consumers";
import { deserialize, serialize } from "node:v8";
import type { Rollout } from "./rollout.ts";

/** What actors are told when the learner has trained on what they sent. */
export interface LearnerAnswer {
  /** Whether this was the last time. */
  readonly done: boolean;
}

/** One rank's message. */
interface Sent {
  readonly rank: number;
  readonly rollouts: readonly Rollout[];
}

/** A message that waits for its answer. */
interface Received extends Sent {
  answer(answer: LearnerAnswer): void;
}

/** Sends rollouts; the answer comes when the learner has used them. */
export function sendRollouts(socketPath: string, rank: number, rollouts: readonly Rollout[]): Promise<LearnerAnswer> {
  return new Promise((resolve, reject) => {
    const posted = request({ socketPath, method: "POST" }, (response) => {
      buffer(response).then((body) => resolve(JSON.parse(body.toString()) as LearnerAnswer), reject);
    });
    posted.once("error", reject);
    posted.end(serialize({ rank, rollouts }));
  });
}

/** The learner's end. */
export class RolloutServer {
  readonly #server = createServer((incoming, response) => {
    void buffer(incoming).then((body) => {
      this.#waiting.push({ ...(deserialize(body) as Sent), answer: ({ done }) => response.end(JSON.stringify({ done })) });
      this.#arrived();
    });
  });
  #waiting: Received[] = [];
  #arrived: () => void = () => undefined;

  /** Begins to listen. */
  async listen(socketPath: string): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(socketPath, resolve));
  }

  /** Waits for `count` messages; `answer` lets their senders go on. */
  async gather(count: number): Promise<{ readonly rollouts: readonly Rollout[]; answer(answer: LearnerAnswer): void }> {
    while (this.#waiting.length < count) await new Promise<void>((resolve) => (this.#arrived = resolve));
    // In the order of ranks, not of arrival: where actors wait for each update, runs with one seed are alike.
    const batch = this.#waiting.splice(0).sort((a, b) => a.rank - b.rank);
    return {
      rollouts: batch.flatMap(({ rollouts }) => rollouts),
      answer: (answer) => {
        for (const each of batch) each.answer(answer);
      },
    };
  }

  /** Answers everybody from now on that it is over. */
  finish(): void {
    this.#arrived = () => {
      for (const each of this.#waiting.splice(0)) each.answer({ done: true });
    };
    this.#arrived();
  }

  /** Stops listening. */
  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
