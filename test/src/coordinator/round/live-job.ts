/** A job of two ranks per node and its live weights, nodes answering when a test says so. */
import { type CoordinatorMessage, LiveWeights } from "@rankcast/coordinator/internal";
import { expect } from "chai";

/** Why a node did not bring a version. */
export const cause = { code: "RANKCAST_BROADCAST_STALLED", message: "nothing comes", record: {} };
const segmentsOf = (where: string) => [{ kind: "memfd" as const, path: where, nbytes: 8 }];

/** A job of two ranks per node, its nodes answering when the test says so. Every line is one message. */
export class LiveJob {
  readonly lines: string[] = [];
  /** Nodes that have been told to serve or bring, and not to drop, by sequence. */
  readonly open = new Map<
    number,
    { readonly owner: number; readonly where: string; readonly told: Map<number, "serves" | "brings" | "has"> }
  >();
  readonly messages: { readonly rank: number; readonly message: CoordinatorMessage }[] = [];
  readonly live = new LiveWeights({
    now: () => 0,
    nodeOf: (rank) => Math.floor(rank / 2),
    onChange: () => undefined,
    send: (rank, message) => {
      this.messages.push({ rank, message });
      this.lines.push(lineOf(rank, message));
    },
    nodes: {
      encoded: () => undefined,
      travelled: () => null,
      carry: (sequence, owner, targets, { segments }, base) => {
        const how = base ? ` as the difference from ${base.number}` : "";
        this.lines.push(`carry ${segments[0]?.path} from node ${owner} to ${targets.join(",")}${how}`);
        const told = new Map<number, "serves" | "brings" | "has">([
          [owner, "serves"],
          ...targets.map((target) => [target, "brings"] as const),
        ]);
        this.open.set(sequence, { owner, where: segments[0]?.path ?? "", told });
      },
      drop: (sequence, nodeRank) => {
        this.lines.push(`drop on ${nodeRank}`);
        expect(this.open.get(sequence)?.told.delete(nodeRank), "is dropped once").to.equal(true);
        if (this.open.get(sequence)?.told.size === 0) this.open.delete(sequence);
      },
    },
  });

  publish(rank: number, offer: number): void {
    const placement = {
      segments: segmentsOf(`rank ${rank} offer ${offer}`),
      flat: [],
      shared: [],
      reuse: { layout: `of ${rank}`, set: `rank ${rank} offer ${offer}`, known: "nothing" },
    };
    this.live.offer(rank, { type: "offer", offer, version: `v${offer}`, manifest: Uint8Array.of(1), placement });
  }

  subscribe(rank: number, policy = "latest"): void {
    this.live.subscribe(rank, { type: "subscribe", subscription: 1, policy });
  }

  taken(rank: number, number: number): void {
    this.live.taken(rank, { type: "taken", subscription: 1, number, beside: [] });
  }

  unsubscribe(rank: number): void {
    this.live.unsubscribe(rank, { type: "unsubscribe", subscription: 1 });
  }

  /** The node answers the first thing that it was told to bring (or, being asked to fail, to serve). */
  answer(nodeRank: number, fails = false, why = cause): void {
    for (const [sequence, { told }] of this.open) {
      if (told.get(nodeRank) !== "brings" && !(fails && told.get(nodeRank) === "serves")) continue;
      if (fails) told.delete(nodeRank);
      else told.set(nodeRank, "has");
      if (told.size === 0) this.open.delete(sequence);
      const where = `node ${nodeRank} sequence ${sequence}`;
      this.live.brought(nodeRank, sequence, fails ? { cause: why } : { segments: segmentsOf(where), set: where });
      return;
    }
  }

  /** Lines since the last look. */
  look(): string[] {
    return this.lines.splice(0);
  }
}

function lineOf(rank: number, message: CoordinatorMessage): string {
  switch (message.type) {
    case "offered":
      return `${rank} is offered ${message.number} in ${(message.placement as { segments: { path: string }[] }).segments[0]?.path}`;
    case "newest":
      return `${rank} hears of ${message.number}`;
    case "freed":
      return `${rank} may write ${message.offer}`;
    default:
      return `${rank} hears ${message.type}`;
  }
}
