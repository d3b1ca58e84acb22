/** Live weights on several nodes: who is told what, and what must hold under every order of events. */
import { expect } from "chai";
import fc from "fast-check";
import { cause, LiveJob } from "./live-job.js";

const FIRST = 2 ** 31;

describe("live weights on several nodes", () => {
  it("brings a version to a node once for all of its ranks, and to all nodes at once; the publisher's neighbour looks at its memory", () => {
    const job = new LiveJob();
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
    const job = new LiveJob();
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
    const job = new LiveJob();
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
    const job = new LiveJob();
    job.subscribe(2);
    for (const offer of [1, 2, 3]) job.publish(0, offer);
    job.look();
    job.answer(1);
    job.taken(2, 1);
    expect(job.look()).to.deep.equal([
      `2 is offered 1 in node 1 sequence ${FIRST}`,
      "drop on 0",
      "carry rank 0 offer 3 from node 0 to 1 as the difference from 1",
    ]);
  });

  it("what travels is the difference from the newest version of the same publisher that the node has, and the whole where it has none", () => {
    const job = new LiveJob();
    job.subscribe(2);
    job.publish(0, 1);
    job.answer(1);
    job.taken(2, 1);
    job.publish(0, 2);
    job.answer(1);
    job.taken(2, 2);
    job.subscribe(4);
    job.answer(2);
    job.taken(4, 2);
    // Another publisher's weights have nothing in common with it.
    job.publish(1, 3);
    job.look();
    for (const nodeRank of [1, 2]) job.answer(nodeRank);
    job.taken(2, 3);
    job.look();
    job.publish(0, 4);
    job.taken(4, 3);
    const lines = job.look().filter((line) => line.startsWith("carry"));
    // Both look at the other publisher's by now.
    expect(lines).to.deep.equal(["carry rank 0 offer 4 from node 0 to 1", "carry rank 0 offer 4 from node 0 to 2"]);
  });

  it("a node that cannot use a difference is brought the version itself, and its subscribers hear nothing of it", () => {
    const job = new LiveJob();
    job.subscribe(2);
    job.publish(0, 1);
    job.answer(1);
    job.taken(2, 1);
    job.publish(0, 2);
    job.look();
    job.answer(1, true, { ...cause, code: "RANKCAST_DELTA" });
    expect(job.look()).to.deep.equal(["carry rank 0 offer 2 from node 0 to 1", "drop on 0"]);
    job.answer(1);
    expect(job.look()[0]).to.match(/^2 is offered 2 in node 1/);
    // The version itself is no difference: what is wrong with it ends the subscription.
    job.taken(2, 2);
    job.publish(0, 3);
    job.answer(1, true);
    expect(job.look()).to.include("2 hears subscriptionEnded");
  });

  it("a node that cannot bring a version ends the subscriptions that wait there, and no others", () => {
    const job = new LiveJob();
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
    const job = new LiveJob();
    job.subscribe(2);
    job.subscribe(4);
    job.publish(0, 1);
    job.answer(2);
    job.look();
    job.answer(0, true);
    expect(job.look()).to.deep.equal(["drop on 1", "2 hears subscriptionEnded"]);
  });

  it("nobody serves memory that its publisher may write: what is on its way for nobody is stopped first", () => {
    const job = new LiveJob();
    job.subscribe(2);
    job.publish(0, 1);
    job.publish(0, 2);
    job.look();
    job.unsubscribe(2);
    expect(job.look()).to.deep.equal(["drop on 1", "drop on 0", "0 may write 1"]);
  });

  it("a publisher that leaves takes nothing from those who wait", () => {
    const job = new LiveJob();
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
        const job = new LiveJob();
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
function expectWhole(job: LiveJob, rank: number, where: string, written: ReadonlySet<string>): void {
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
