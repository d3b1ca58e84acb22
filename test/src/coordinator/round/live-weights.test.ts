/** Live weights on several nodes: who is told what, and what must hold under every order of events. */
import { type CoordinatorMessage, LiveWeights } from "@rankcast/coordinator/internal";
import { expect } from "chai";
import fc from "fast-check";

const cause = { code: "RANKCAST_BROADCAST_STALLED", message: "nothing comes", record: {} };
const segmentsOf = (where: string) => [{ kind: "memfd" as const, path: where, nbytes: 8 }];

/** A job of two ranks per node, its nodes answering when the test says so. Every line is one message. */
class Job {
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
      carry: (sequence, owner, targets, segments) => {
        this.lines.push(`carry ${segments[0]?.path} from node ${owner} to ${targets.join(",")}`);
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
      reuse: { layout: `of ${rank}`, set: 0 },
    };
    this.live.offer(rank, { type: "offer", offer, version: `v${offer}`, manifest: Uint8Array.of(1), placement });
  }

  subscribe(rank: number, policy = "latest"): void {
    this.live.subscribe(rank, { type: "subscribe", subscription: 1, policy });
  }

  taken(rank: number, number: number): void {
    this.live.taken(rank, { type: "taken", subscription: 1, number });
  }

  unsubscribe(rank: number): void {
    this.live.unsubscribe(rank, { type: "unsubscribe", subscription: 1 });
  }

  /** The node answers the first thing that it was told to bring (or, being asked to fail, to serve). */
  answer(nodeRank: number, fails = false): void {
    for (const [sequence, { told }] of this.open) {
      if (told.get(nodeRank) !== "brings" && !(fails && told.get(nodeRank) === "serves")) continue;
      if (fails) told.delete(nodeRank);
      else told.set(nodeRank, "has");
      if (told.size === 0) this.open.delete(sequence);
      this.live.brought(nodeRank, sequence, fails ? { cause } : { segments: segmentsOf(`node ${nodeRank} sequence ${sequence}`) });
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

const FIRST = 2 ** 31;

describe("live weights on several nodes", () => {
  it("brings a version to a node once for all of its ranks, and to all nodes at once; the publisher's neighbour looks at its memory", () => {
    const job = new Job();
    for (const rank of [1, 2, 3, 4]) job.subscribe(rank);
    job.publish(0, 1);
    expect(job.look()).to.deep.equal(["1 is offered 1 in rank 0 offer 1", "carry rank 0 offer 1 from node 0 to 1,2"]);
    job.answer(2);
    expect(job.look()).to.deep.equal([`4 is offered 1 in node 2 sequence ${FIRST}`]);
    job.answer(1);
    const here = `node 1 sequence ${FIRST}`;
    // Everybody has everything: nobody pulls from the owner any more.
    expect(job.look()).to.deep.equal([`2 is offered 1 in ${here}`, `3 is offered 1 in ${here}`, "drop on 0"]);
  });

  it("who comes to a node later joins what is on its way, or gets what is there", () => {
    const job = new Job();
    job.subscribe(2);
    job.publish(0, 1);
    job.look();
    job.subscribe(3);
    expect(job.look()).to.deep.equal([]);
    job.answer(1);
    const here = `node 1 sequence ${FIRST}`;
    expect(job.look()).to.deep.equal([`2 is offered 1 in ${here}`, `3 is offered 1 in ${here}`, "drop on 0"]);
    job.unsubscribe(3);
    job.subscribe(3);
    expect(job.look()).to.deep.equal([`3 is offered 1 in ${here}`]);
  });

  it("what nobody of a node refers to any more is dropped there, and the publisher may write once nobody at all does", () => {
    const job = new Job();
    job.subscribe(2);
    job.subscribe(3);
    job.publish(0, 1);
    job.answer(1);
    job.taken(2, 1);
    job.taken(3, 1);
    job.publish(0, 2);
    job.answer(1);
    job.look();
    job.taken(2, 2);
    expect(job.look()).to.deep.equal([]);
    job.taken(3, 2);
    expect(job.look()).to.deep.equal(["drop on 1", "0 may write 1"]);
  });

  it("latest skips what was superseded while an earlier version was on its way", () => {
    const job = new Job();
    job.subscribe(2);
    for (const offer of [1, 2, 3]) job.publish(0, offer);
    job.look();
    job.answer(1);
    job.taken(2, 1);
    expect(job.look()).to.deep.equal([`2 is offered 1 in node 1 sequence ${FIRST}`, "drop on 0", "carry rank 0 offer 3 from node 0 to 1"]);
  });

  it("a node that cannot bring a version ends the subscriptions that wait there, and no others", () => {
    const job = new Job();
    job.subscribe(2);
    job.subscribe(4);
    job.publish(0, 1);
    job.look();
    job.answer(1, true);
    expect(job.look()).to.deep.equal(["2 hears subscriptionEnded"]);
    job.answer(2);
    expect(job.look()).to.deep.equal([`4 is offered 1 in node 2 sequence ${FIRST}`, "drop on 0"]);
    job.unsubscribe(2);
    job.subscribe(3);
    expect(job.look()).to.deep.equal(["carry rank 0 offer 1 from node 0 to 1"]);
  });

  it("a publisher's node that cannot serve ends all that wait for it", () => {
    const job = new Job();
    job.subscribe(2);
    job.subscribe(4);
    job.publish(0, 1);
    job.answer(2);
    job.look();
    job.answer(0, true);
    expect(job.look()).to.deep.equal(["drop on 1", "2 hears subscriptionEnded"]);
  });

  it("nobody serves memory that its publisher may write: what is on its way for nobody is stopped first", () => {
    const job = new Job();
    job.subscribe(2);
    job.publish(0, 1);
    job.publish(0, 2);
    job.look();
    job.unsubscribe(2);
    expect(job.look()).to.deep.equal(["drop on 1", "drop on 0", "0 may write 1"]);
  });

  it("a publisher that leaves takes nothing from those who wait", () => {
    const job = new Job();
    job.subscribe(2);
    job.publish(0, 1);
    job.live.gone(0);
    job.look();
    job.answer(1);
    expect(job.look()).to.deep.equal([`2 is offered 1 in node 1 sequence ${FIRST}`, "drop on 0"]);
  });

  it("under every order of events a rank looks at memory of its node that stays, and nothing is left at the end", () => {
    const rank = fc.integer({ min: 0, max: 5 });
    const nodeRank = fc.integer({ min: 0, max: 2 });
    const step = fc.oneof(
      fc.record({ type: fc.constant("publish" as const), rank }),
      fc.record({ type: fc.constant("subscribe" as const), rank, policy: fc.constantFrom("latest", "every") }),
      fc.record({ type: fc.constant("take" as const), rank }),
      fc.record({ type: fc.constant("unsubscribe" as const), rank }),
      fc.record({ type: fc.constant("answer" as const), nodeRank, fails: fc.boolean() }),
      fc.record({ type: fc.constant("answer" as const), nodeRank, fails: fc.constant(false) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const job = new Job();
        const looking = new Map<number, { readonly where: string; readonly number: number }[]>();
        const subscribed = new Set<number>();
        const written = new Set<string>();
        let offers = 0;
        for (const each of steps) {
          if (each.type === "publish") job.publish(each.rank, ++offers);
          if (each.type === "subscribe" && !subscribed.has(each.rank)) {
            subscribed.add(each.rank);
            looking.set(each.rank, []);
            job.subscribe(each.rank, each.policy);
          }
          if (each.type === "take") {
            // Whoever has taken the second lets go of the first.
            const mine = looking.get(each.rank) ?? [];
            const last = mine.at(-1);
            if (last) {
              mine.splice(0, mine.length - 1);
              job.taken(each.rank, last.number);
            }
          }
          if (each.type === "unsubscribe" && subscribed.delete(each.rank)) {
            looking.delete(each.rank);
            job.unsubscribe(each.rank);
          }
          if (each.type === "answer") job.answer(each.nodeRank, each.fails);
          for (const { rank: to, message } of job.messages.splice(0)) {
            if (message.type === "freed") written.add(`rank ${to} offer ${message.offer}`);
            if (message.type === "subscriptionEnded") {
              subscribed.delete(to);
              looking.delete(to);
              job.unsubscribe(to);
            }
            if (message.type !== "offered") continue;
            const where = (message.placement as { segments: { path: string }[] }).segments[0]?.path ?? "";
            looking.get(to)?.push({ where, number: message.number });
          }
          for (const { owner, where, told } of job.open.values()) {
            if (told.get(owner) === "serves") expect(written.has(where), where).to.equal(false);
          }
          for (const [to, places] of looking) for (const { where } of places) expectWhole(job, to, where, written);
        }
        for (const each of subscribed) job.unsubscribe(each);
        expect([...job.open.keys()]).to.deep.equal([]);
      }),
      { numRuns: 300 },
    );
  });
});

/** The memory is of the rank's node, and neither dropped there nor given back to its publisher. */
function expectWhole(job: Job, rank: number, where: string, written: ReadonlySet<string>): void {
  const brought = /^node (\d+) sequence (\d+)$/.exec(where);
  if (brought) {
    expect(Number(brought[1])).to.equal(Math.floor(rank / 2));
    expect(job.open.get(Number(brought[2]))?.told.get(Number(brought[1])), where).to.equal("has");
    return;
  }
  const publisher = Number(/^rank (\d+) /.exec(where)?.[1]);
  expect(Math.floor(publisher / 2)).to.equal(Math.floor(rank / 2));
  expect(written.has(where), where).to.equal(false);
}
