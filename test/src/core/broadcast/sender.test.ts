/** The sender machine: credits, independence, stalls. */
import { ChunkSet, createSenderState, layoutChunks, type SenderEvent, type SenderInstruction, stepSender } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";

const CHUNKS = 12;
const layout = layoutChunks({ segmentBytes: [CHUNKS * 10], chunkBytes: 10 });
type Body<T> = T extends unknown ? Omit<T, "nowMs"> : never;

function sender() {
  let state = createSenderState({ layout, stallMs: 1000, connections: 1 });
  let nowMs = 0;
  return {
    advance: (ms: number) => {
      nowMs += ms;
    },
    step(event: Body<SenderEvent>): readonly SenderInstruction[] {
      const step = stepSender(state, { ...event, nowMs } as SenderEvent);
      state = step.state;
      return step.instructions;
    },
    get state() {
      return state;
    },
  };
}

const sends = (instructions: readonly SenderInstruction[]): number[] =>
  instructions.flatMap((each) => (each.type === "send" ? [each.chunk] : []));

describe("broadcast sender", () => {
  it("sends each chunk once to each subscription, lowest first, within its credits", () => {
    const machine = sender();
    for (const chunk of [5, 3, 4, 0]) machine.step({ type: "available", chunk });
    const want = ChunkSet.all(CHUNKS).without(0);
    expect(sends(machine.step({ type: "subscribe", subscription: 1, connection: 0, nodeRank: 1, want, creditBytes: 20 }))).to.deep.equal([
      3, 4,
    ]);
    expect(sends(machine.step({ type: "available", chunk: 6 }))).to.deep.equal([]);
    expect(sends(machine.step({ type: "acknowledged", subscription: 1, connection: 0, chunk: 3 }))).to.deep.equal([5]);
    // A second subscription has a cursor and credits of its own; one chunk is always allowed.
    expect(sends(machine.step({ type: "subscribe", subscription: 2, connection: 0, nodeRank: 2, want, creditBytes: 0 }))).to.deep.equal([
      3,
    ]);
    expect(sends(machine.step({ type: "acknowledged", subscription: 2, connection: 0, chunk: 3 }))).to.deep.equal([4]);
  });

  it("keeps these promises in any order of events", () => {
    const events = fc.array(
      fc.oneof(
        fc.record({ type: fc.constant("available" as const), chunk: fc.nat(CHUNKS - 1) }),
        fc.record({ type: fc.constant("subscribe" as const), credit: fc.nat(50) }),
        fc.record({ type: fc.constant("acknowledge" as const), which: fc.nat(), chunk: fc.nat() }),
        fc.record({ type: fc.constant("gone" as const), which: fc.nat() }),
      ),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(events, (all) => {
        const machine = sender();
        const available = new Set<number>();
        const open: { id: number; credit: number; sent: Set<number>; flying: number[] }[] = [];
        let ids = 0;
        const take = (instructions: readonly SenderInstruction[]): void => {
          for (const each of instructions) {
            if (each.type !== "send") continue;
            const subscription = open.find(({ id }) => id === each.subscription);
            expect(subscription).to.not.equal(undefined);
            expect(available.has(each.chunk)).to.equal(true);
            expect(subscription?.sent.has(each.chunk)).to.equal(false);
            subscription?.sent.add(each.chunk);
            subscription?.flying.push(each.chunk);
            if ((subscription?.flying.length ?? 0) > 1)
              expect((subscription?.flying.length ?? 0) * 10).to.be.at.most(subscription?.credit ?? 0);
          }
        };
        for (const event of all) {
          const chosen = open[("which" in event ? event.which : 0) % Math.max(open.length, 1)];
          if (event.type === "available") {
            available.add(event.chunk);
            take(machine.step(event));
          } else if (event.type === "subscribe") {
            ids += 1;
            open.push({ id: ids, credit: event.credit, sent: new Set(), flying: [] });
            take(
              machine.step({
                type: "subscribe",
                subscription: ids,
                connection: 0,
                nodeRank: ids,
                want: ChunkSet.all(CHUNKS),
                creditBytes: event.credit,
              }),
            );
          } else if (event.type === "gone" && chosen) {
            open.splice(open.indexOf(chosen), 1);
            take(machine.step({ type: "gone", subscription: chosen.id, connection: 0 }));
          } else if (event.type === "acknowledge" && chosen && chosen.flying.length > 0) {
            const [chunk = -1] = chosen.flying.splice(event.chunk % chosen.flying.length, 1);
            take(machine.step({ type: "acknowledged", subscription: chosen.id, connection: 0, chunk }));
          }
        }
      }),
    );
  });

  it("names a receiver that is slow, cuts one that is stalled, and neither one that waits for us", () => {
    const machine = sender();
    machine.step({ type: "available", chunk: 0 });
    machine.step({ type: "subscribe", subscription: 1, connection: 0, nodeRank: 7, want: ChunkSet.all(CHUNKS), creditBytes: 100 });
    machine.step({ type: "subscribe", subscription: 2, connection: 0, nodeRank: 8, want: ChunkSet.none(CHUNKS), creditBytes: 100 });
    machine.advance(500);
    expect(machine.step({ type: "timer" })).to.deep.include({ type: "slow", nodeRank: 7, silentMs: 500 });
    machine.step({ type: "alive", subscription: 1, connection: 0 });
    machine.advance(600);
    expect(machine.step({ type: "timer" }).map(({ type }) => type)).to.deep.equal(["setTimer"]);
    machine.advance(400);
    expect(machine.step({ type: "timer" })).to.deep.equal([
      { type: "cut", subscription: 1, connection: 0, reason: "silent" },
      { type: "stalled", nodeRank: 7, silentMs: 1000 },
    ]);
    expect(machine.state.stalled.has(7)).to.equal(true);
    machine.advance(100_000);
    expect(machine.step({ type: "timer" })).to.deep.equal([]);
  });

  it("cuts who acknowledges what was not sent", () => {
    const machine = sender();
    machine.step({ type: "subscribe", subscription: 1, connection: 0, nodeRank: 7, want: ChunkSet.all(CHUNKS), creditBytes: 100 });
    expect(machine.step({ type: "acknowledged", subscription: 1, connection: 0, chunk: 3 })).to.deep.include({
      type: "cut",
      subscription: 1,
      connection: 0,
      reason: "protocol",
    });
  });
});
