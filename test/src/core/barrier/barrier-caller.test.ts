/** A rank's side of a barrier. */
import { UsageError } from "@rankcast/core";
import {
  type BarrierDecision,
  type CallerEvent,
  type CallerInstruction,
  type CallerState,
  createCallerState,
  stepCaller,
} from "@rankcast/core/internal";
import { expect } from "chai";

const START = { epoch: 2, rank: 1, incarnation: 5, silenceMs: 1000, nowMs: 0, generations: [] };

/** A caller with its history of instructions. */
function createCaller(generations: readonly (readonly [string, number])[] = []) {
  let state: CallerState = createCallerState({ ...START, generations });
  return {
    play(event: CallerEvent): readonly CallerInstruction[] {
      const step = stepCaller(state, event);
      state = step.state;
      return step.instructions;
    },
    call(name = "load", nowMs = 0): readonly CallerInstruction[] {
      return this.play({ type: "call", nowMs, name, digest: "d", participants: null, timeoutMs: 10, outcome: { type: "ok" } });
    },
    get state() {
      return state;
    },
  };
}

function decision(generation: number, outcome: "pass" | "fail" = "pass", epoch = 2): BarrierDecision {
  const base = { epoch, name: "load", generation, sequence: generation, participants: null, openedMs: 0, decidedMs: 1 };
  if (outcome === "pass") return { ...base, outcome, firstRank: 0, lastRank: 1 };
  return { ...base, outcome, cause: { kind: "reset", epoch: 3 }, missing: { ranks: [], reports: [] }, later: [] };
}

const decided = (generation: number, outcome?: "pass" | "fail", epoch?: number): CallerEvent => {
  return { type: "decision", nowMs: 5, decision: decision(generation, outcome, epoch) };
};

describe("barrier caller", () => {
  it("counts generations per name", () => {
    const caller = createCaller([["eval", 4]]);
    const sent = (name: string) => caller.call(name).flatMap((each) => (each.type === "send" ? each.message.generation : []));
    expect([...sent("load"), ...sent("eval"), ...sent("other")]).to.deep.equal([1, 4, 1]);
    caller.play(decided(1));
    expect(sent("load")).to.deep.equal([2]);
  });

  it("sends who and what, and returns what was decided", () => {
    const caller = createCaller();
    const message = {
      ...{ type: "arrive", epoch: 2, rank: 1, incarnation: 5, name: "load", generation: 1 },
      ...{ digest: "d", participants: null, timeoutMs: 10, outcome: { type: "ok" } },
    };
    expect(caller.call()).to.deep.equal([
      { type: "send", message },
      { type: "setTimer", dueMs: 1000 },
    ]);
    const result = { type: "decided", decision: decision(1) };
    expect(caller.play(decided(1))).to.deep.equal([{ type: "settle", name: "load", generation: 1, result }]);
    expect(caller.state.pending.size).to.equal(0);
  });

  it("refuses a second call of the same name and leaves the first alone", () => {
    const caller = createCaller();
    caller.call();
    expect(caller.call()).to.deep.equal([{ type: "busy", name: "load" }]);
    expect(caller.call("other").map((each) => each.type)).to.deep.equal(["send"]);
    expect(caller.play(decided(1)).map((each) => each.type)).to.deep.equal(["settle"]);
  });

  it("ignores decisions of other epochs and generations", () => {
    const caller = createCaller();
    caller.call();
    for (const other of [decided(1, "pass", 1), decided(1, "pass", 3), decided(2), decided(0)])
      expect(caller.play(other)).to.deep.equal([]);
    caller.play(decided(1));
    expect(caller.play(decided(1)), "a duplicate").to.deep.equal([]);
  });

  it("learns of a failure on the way and returns it without asking", () => {
    const caller = createCaller();
    expect(caller.play(decided(1, "fail"))).to.deep.equal([]);
    const result = { type: "decided", decision: decision(1, "fail") };
    expect(caller.call()).to.deep.equal([{ type: "settle", name: "load", generation: 1, result }]);
    expect(caller.state.nextGeneration.get("load")).to.equal(2);
    expect(caller.state.early.size).to.equal(0);
  });

  it("never takes a pass it has not come for", () => {
    const caller = createCaller();
    caller.play(decided(1, "pass"));
    expect(caller.call().map((each) => each.type)).to.deep.equal(["send", "setTimer"]);
  });

  it("says again what waits after a new connection", () => {
    const caller = createCaller();
    const first = caller.call();
    expect(caller.play({ type: "reconnected", nowMs: 1 })).to.deep.equal([first[0]]);
  });

  it("is fenced when the coordinator is lost: unknown for those who wait, and for ever after", () => {
    const caller = createCaller();
    caller.call();
    caller.call("other");
    const unknown = { type: "unknown", reason: "coordinator-lost" };
    expect(caller.play({ type: "lost", nowMs: 1, reason: "coordinator-lost" })).to.deep.equal([
      { type: "settle", name: "load", generation: 1, result: unknown },
      { type: "settle", name: "other", generation: 1, result: unknown },
      { type: "fence", reason: "coordinator-lost" },
    ]);
    expect(caller.call()).to.deep.equal([{ type: "settle", name: "load", generation: 1, result: unknown }]);
    expect(caller.play(decided(1)), "too late").to.deep.equal([]);
    expect(caller.play({ type: "lost", nowMs: 1, reason: "fenced" })).to.deep.equal([]);
  });

  it("gives up a silent coordinator, but only while somebody waits, and never calls it a failure", () => {
    const caller = createCaller();
    caller.call("load", 5000);
    expect(caller.play({ type: "contact", nowMs: 5900 })).to.deep.equal([]);
    expect(caller.play({ type: "timer", nowMs: 6000 })).to.deep.equal([{ type: "setTimer", dueMs: 6900 }]);
    expect(
      caller.play({ type: "timer", nowMs: 6900 }).map((each) => (each.type === "settle" ? each.result.type : each.type)),
    ).to.deep.equal(["unknown", "fence"]);
    const idle = createCaller();
    idle.call();
    idle.play(decided(1));
    expect(idle.play({ type: "timer", nowMs: 10_000 })).to.deep.equal([]);
    expect(idle.call("load", 20_000).map((each) => each.type)).to.deep.equal(["send", "setTimer"]);
  });

  it("settles a refused call and keeps its generation; refusals for ever fence", () => {
    const caller = createCaller();
    caller.call();
    const refused = { type: "refused", nowMs: 1, name: "load", generation: 1 } as const;
    expect(caller.play({ ...refused, generation: 9, reason: "ahead" })).to.deep.equal([]);
    expect(caller.play({ ...refused, reason: "ahead" })).to.deep.equal([
      { type: "settle", name: "load", generation: 1, result: { type: "refused", reason: "ahead" } },
    ]);
    caller.call();
    for (const reason of ["stale-epoch", "fenced", "superseded"] as const) {
      const other = createCaller();
      other.call();
      expect(other.play({ ...refused, reason }).at(-1)).to.deep.equal({ type: "fence", reason });
    }
  });

  it("needs a time for silence", () => {
    expect(() => createCallerState({ ...START, silenceMs: 0 })).to.throw(UsageError);
  });
});
