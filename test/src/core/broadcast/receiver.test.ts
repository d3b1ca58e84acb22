/** A receiver whose source stands still: whom it asks, whom it takes, and that it finds its place in the chain again. By transcript. */
import { ChunkSet, createReceiverState, RECEIVER_TIMES, type ReceiverEvent, stepReceiver } from "@rankcast/core/internal";
import { expect } from "chai";

const CHUNKS = 40;
/** Node 3 of a chain 0 → 1 → 2 → 3. */
const SOURCES = [2, 1, 0];
type Body<T> = T extends unknown ? Omit<T, "nowMs"> : never;

function receiver() {
  let state = createReceiverState(
    { ...RECEIVER_TIMES, chunkCount: CHUNKS, own: ChunkSet.none(CHUNKS), sources: SOURCES, connections: 1 },
    0,
  );
  let nowMs = 0;
  let dueMs: number | null = null;
  const step = (event: Body<ReceiverEvent>): string[] => {
    const next = stepReceiver(state, { ...event, nowMs } as ReceiverEvent);
    state = next.state;
    return next.instructions.flatMap((instruction) => {
      if (instruction.type === "setTimer") dueMs = instruction.dueMs;
      const { type, source, from, to } = instruction as { type: string; source?: number; from?: number; to?: number };
      if (type === "setTimer") return [];
      return [type === "switched" ? `switched ${from} to ${to}` : `${type} ${source}`];
    });
  };
  return {
    step,
    get nowMs() {
      return nowMs;
    },
    chunk(chunk: number, source: number, ms: number): string[] {
      nowMs += ms;
      return step({ type: "chunk", source, connection: state.link.next - 1, chunk });
    },
    /** Lets the timer fire until it does anything. */
    wait(): string[] {
      for (let tries = 0; tries < 20; tries += 1) {
        nowMs = Math.max(nowMs, dueMs ?? nowMs);
        const done = step({ type: "timer" });
        if (done.length > 0) return done;
      }
      return [];
    },
  };
}

describe("a receiver behind a node that stands still", () => {
  /** Its source, node 2, has stood still after eight chunks; it asks. */
  function doubting() {
    const machine = receiver();
    expect(machine.step({ type: "start" })).to.deep.equal(["pull 2"]);
    for (let chunk = 0; chunk < 8; chunk += 1) machine.chunk(chunk, 2, 100);
    expect(machine.wait()).to.deep.equal(["probe 2"]);
    expect(machine.wait(), "no answer").to.deep.equal(["probe 1"]);
    return machine;
  }

  it("takes the nearest before it that answers, even one that is waiting itself", () => {
    const machine = doubting();
    expect(machine.step({ type: "have", source: 1, available: 0 })).to.deep.equal(["stop 2", "pull 1", "switched 2 to 1"]);
  });

  it("does not stay with the owner when a nearer one only answered late", () => {
    const machine = doubting();
    expect(machine.wait(), "no answer in time").to.deep.equal(["probe 0"]);
    expect(machine.step({ type: "have", source: 0, available: 9 })).to.deep.equal(["stop 2", "pull 0", "switched 2 to 0"]);
    const leftMs = machine.nowMs;
    // The owner sends now; that it does so to two nodes costs everybody half of its link.
    const asked: string[] = [];
    for (let chunk = 8; chunk < 30 && !asked.includes("probe 1"); chunk += 1) {
      asked.push(...machine.chunk(chunk, 0, 100), ...machine.step({ type: "timer" }));
      // Node 2 still stands still.
      if (asked.at(-1) === "probe 2") asked.push(...machine.wait());
    }
    expect(asked).to.include("probe 1");
    expect(machine.nowMs - leftMs).to.be.below(3000);
    expect(machine.step({ type: "have", source: 1, available: 1 })).to.deep.equal(["stop 0", "pull 1", "switched 0 to 1"]);
  });
});
