/** Links of several connections: both machines, by transcript. */
import {
  ChunkSet,
  createReceiverState,
  createSenderState,
  layoutChunks,
  RECEIVER_TIMES,
  type ReceiverEvent,
  type SenderEvent,
  stepReceiver,
  stepSender,
} from "@rankcast/core/internal";
import { expect } from "chai";

const CHUNKS = 12;
const layout = layoutChunks({ segmentBytes: [CHUNKS * 10], chunkBytes: 10 });
type Body<T> = T extends unknown ? Omit<T, "nowMs"> : never;

/** Indexes of a set. */
const listed = (set: ChunkSet): number[] => Array.from({ length: set.size }, (_, index) => index).filter((index) => set.has(index));

/** One instruction in a line. */
function line(instruction: { readonly type: string }): string {
  const { type, ...rest } = instruction;
  const values = Object.entries(rest).map(([name, value]) => `${name} ${value instanceof ChunkSet ? listed(value).join(",") : value}`);
  return [type, ...values].join(" ");
}

function sender(connections: number) {
  let state = createSenderState({ layout, stallMs: 1000, connections });
  let nowMs = 0;
  return {
    at(ms: number) {
      nowMs = ms;
    },
    /** What it does, timers left out. */
    step(event: Body<SenderEvent>): string[] {
      const step = stepSender(state, { ...event, nowMs } as SenderEvent);
      state = step.state;
      return step.instructions.filter(({ type }) => type !== "setTimer").map(line);
    },
    get state() {
      return state;
    },
  };
}

function receiver(connections: number) {
  const terms = { ...RECEIVER_TIMES, chunkCount: CHUNKS, own: ChunkSet.none(CHUNKS), sources: [1, 0], connections };
  let nowMs = 0;
  let state = createReceiverState(terms, nowMs);
  return {
    at(ms: number) {
      nowMs = ms;
    },
    step(event: Body<ReceiverEvent>): string[] {
      const step = stepReceiver(state, { ...event, nowMs } as ReceiverEvent);
      state = step.state;
      return step.instructions.filter(({ type }) => type !== "setTimer").map(line);
    },
    get state() {
      return state;
    },
  };
}

const all = ChunkSet.all(CHUNKS);
const SUBSCRIBE = { type: "subscribe", subscription: 1, nodeRank: 1, want: all, creditBytes: 60 } as const;

describe("a sender with several connections to one node", () => {
  function started(chunks: number) {
    const machine = sender(3);
    for (let chunk = 0; chunk < chunks; chunk += 1) machine.step({ type: "available", chunk });
    const first = machine.step({ ...SUBSCRIBE, connection: 0 });
    return { machine, first };
  }

  it("shares the credits: a connection never has more than its part, all together no more than the sum", () => {
    const { machine, first } = started(CHUNKS);
    expect(first).to.deep.equal(["send subscription 1 connection 0 chunk 0", "send subscription 1 connection 0 chunk 1"]);
    expect(machine.step({ ...SUBSCRIBE, connection: 1 })).to.deep.equal([
      "send subscription 1 connection 1 chunk 2",
      "send subscription 1 connection 1 chunk 3",
    ]);
    expect(machine.step({ ...SUBSCRIBE, connection: 2 })).to.deep.equal([
      "send subscription 1 connection 2 chunk 4",
      "send subscription 1 connection 2 chunk 5",
    ]);
    // Who acknowledges gets the next one: fast connections carry more.
    for (const chunk of [6, 7, 8]) {
      expect(machine.step({ type: "acknowledged", subscription: 1, connection: 1, chunk: chunk === 6 ? 2 : chunk - 1 })).to.deep.equal([
        `send subscription 1 connection 1 chunk ${chunk}`,
      ]);
    }
  });

  it("sends the chunks of a connection that ends over the others, and no chunk that the receiver has", () => {
    const { machine } = started(4);
    machine.step({ ...SUBSCRIBE, connection: 1 });
    // Chunk 0 has arrived, but its acknowledgement was lost with the connection.
    expect(machine.step({ type: "lost", subscription: 1, connection: 0, missing: all.without(0) })).to.deep.equal([
      "cut subscription 1 connection 0 reason lost",
    ]);
    expect(machine.step({ type: "acknowledged", subscription: 1, connection: 1, chunk: 2 })).to.deep.equal([
      "send subscription 1 connection 1 chunk 1",
    ]);
    expect(machine.step({ type: "acknowledged", subscription: 1, connection: 0, chunk: 1 })).to.deep.equal([]);
  });

  it("hears the loss after it has seen it itself", () => {
    const { machine } = started(4);
    machine.step({ ...SUBSCRIBE, connection: 1 });
    expect(machine.step({ type: "gone", subscription: 1, connection: 0 })).to.deep.equal([]);
    expect(machine.step({ type: "lost", subscription: 1, connection: 0, missing: all.without(0) })).to.deep.equal([]);
    expect(machine.step({ type: "acknowledged", subscription: 1, connection: 1, chunk: 2 })).to.deep.equal([
      "send subscription 1 connection 1 chunk 1",
    ]);
  });

  it("cuts a connection that is silent while others live, and the node when all are", () => {
    const { machine } = started(4);
    machine.step({ ...SUBSCRIBE, connection: 1 });
    machine.at(100);
    machine.step({ type: "alive", subscription: 1, connection: 1 });
    machine.at(299);
    expect(machine.step({ type: "timer" })).to.deep.equal([]);
    machine.at(200);
    machine.step({ type: "alive", subscription: 1, connection: 1 });
    machine.at(300);
    expect(machine.step({ type: "timer" })).to.deep.equal(["cut subscription 1 connection 0 reason silent"]);
    machine.at(1199);
    expect(machine.step({ type: "timer" })).to.deep.equal(["slow nodeRank 1 silentMs 1199"]);
    machine.at(1200);
    expect(machine.step({ type: "timer" })).to.deep.equal([
      "cut subscription 1 connection 1 reason silent",
      "stalled nodeRank 1 silentMs 1000",
    ]);
    expect(machine.state.subscriptions.size).to.equal(0);
  });

  it("tries an idle connection before it calls a node stalled", () => {
    const { machine } = started(1);
    machine.step({ ...SUBSCRIBE, connection: 1 });
    machine.at(1000);
    expect(machine.step({ type: "timer" })).to.deep.equal([
      "slow nodeRank 1 silentMs 1000",
      "cut subscription 1 connection 0 reason silent",
      "send subscription 1 connection 1 chunk 0",
    ]);
    machine.at(2000);
    expect(machine.step({ type: "timer" })).to.include("stalled nodeRank 1 silentMs 1000");
  });

  it("is done with a node when one of its connections says so", () => {
    const { machine } = started(4);
    machine.step({ ...SUBSCRIBE, connection: 1 });
    expect(machine.step({ type: "finished", nodeRank: 1, subscription: 1 })).to.deep.equal([]);
    expect(machine.state.subscriptions.size).to.equal(0);
    expect(machine.step({ type: "available", chunk: 5 })).to.deep.equal([]);
    expect(machine.step({ type: "gone", subscription: 1, connection: 1 })).to.deep.equal([]);
  });
});

describe("a receiver with several connections to its source", () => {
  it("opens them all, and one that breaks again at once while the link goes on", () => {
    const machine = receiver(3);
    expect(machine.step({ type: "start" })).to.deep.equal([`pull source 1 connections 0,1,2 want ${listed(all).join(",")}`]);
    machine.at(10);
    machine.step({ type: "chunk", source: 1, connection: 1, chunk: 0 });
    const left = listed(all.without(0)).join(",");
    expect(machine.step({ type: "broken", source: 1, connection: 1, reason: "reset" })).to.deep.equal([
      `reask source 1 connection 1 missing ${left}`,
      `connect source 1 connection 3 want ${left}`,
    ]);
    // The same loss again says nothing.
    expect(machine.step({ type: "broken", source: 1, connection: 1, reason: "reset" })).to.deep.equal([]);
    expect(machine.state.source).to.equal(1);
  });

  it("waits longer and longer before it opens one again, and gives that up; the link lives", () => {
    const machine = receiver(2);
    machine.step({ type: "start" });
    let nowMs = 0;
    const pauses: number[] = [];
    for (let connection = 1; ; connection += 1) {
      const before = nowMs;
      machine.step({ type: "broken", source: 1, connection, reason: "refused" });
      const { reopenMs, open } = machine.state.link;
      // The other one brings chunks all the time.
      machine.step({ type: "chunk", source: 1, connection: 0, chunk: connection });
      if (open.size === 1 && reopenMs === null) break;
      nowMs = reopenMs ?? nowMs;
      machine.at(nowMs);
      if (reopenMs !== null) expect(machine.step({ type: "timer" })[0]).to.match(/^connect /);
      pauses.push(nowMs - before);
    }
    expect(pauses).to.deep.equal([0, 50, 100, 200, 400, 800]);
    expect(machine.state.source).to.equal(1);
  });

  it("counts a connection that works again as whole", () => {
    const machine = receiver(2);
    machine.step({ type: "start" });
    for (const [chunk, connection] of [2, 3, 4, 5, 6, 7, 8, 9].entries()) {
      expect(machine.step({ type: "broken", source: 1, connection: connection - 1, reason: "reset" })).to.have.length(2);
      machine.step({ type: "chunk", source: 1, connection, chunk });
    }
  });

  it("gives the source up only with its last connection", () => {
    const machine = receiver(2);
    machine.step({ type: "start" });
    for (const connection of [0, 1]) machine.step({ type: "broken", source: 1, connection, reason: "refused" });
    // Connection 2 was opened for the first that broke.
    expect(machine.step({ type: "broken", source: 1, connection: 2, reason: "refused" })).to.deep.equal([
      `pull source 1 connections 0,1 want ${listed(all).join(",")}`,
    ]);
    for (const connection of [0, 1]) machine.step({ type: "broken", source: 1, connection, reason: "refused" });
    expect(machine.step({ type: "broken", source: 1, connection: 2, reason: "refused" })).to.deep.equal([
      `pull source 0 connections 0,1 want ${listed(all).join(",")}`,
      "switched from 1 to 0 reason refused",
    ]);
  });

  it("asks for a chunk that came wrong over another connection", () => {
    const machine = receiver(2);
    machine.step({ type: "start" });
    const wanted = listed(all).join(",");
    expect(machine.step({ type: "corrupt", source: 1, connection: 0, chunk: 4 })).to.deep.equal([
      `reask source 1 connection 0 missing ${wanted}`,
      `connect source 1 connection 2 want ${wanted}`,
    ]);
    expect(machine.state.corruptions.get(4)).to.equal(1);
  });
});
