/** The barrier machine against a model of forty lines, event by event; and what must hold whatever happens. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import {
  type BarrierEvent,
  type BarrierInstruction,
  BarrierRun,
  type BarrierState,
  createBarrierState,
  DECISIONS_KEPT,
  decisionError,
  type FailDecision,
  rankRanges,
  stepBarrier,
} from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";
import { BarrierModel } from "./barrier-model.ts";

const PLACE = { localRank: 0, nodeRank: 0, host: "h", pid: 1 };

/** The machine with a clock; every event takes a millisecond. */
class Real {
  state: BarrierState;
  nowMs = 0;
  /** What has happened, and what came of it. */
  readonly past: { readonly event: BarrierEvent; readonly instructions: readonly BarrierInstruction[] }[] = [];

  readonly #watched: boolean;

  /** `watched`: check after every event that the old state is untouched and the new one sound. */
  constructor(worldSize: number, watched = true) {
    this.#watched = watched;
    this.state = createBarrierState({ epoch: 3, worldSize });
    for (let rank = 0; rank < worldSize; rank += 1) this.play({ type: "join", ...this.#who(rank, 1), place: PLACE });
  }

  play(event: BarrierEvent): readonly BarrierInstruction[] {
    this.nowMs += 1;
    const before = this.state;
    if (!this.#watched) {
      const step = stepBarrier(before, { ...event, nowMs: this.nowMs });
      this.state = step.state;
      return step.instructions;
    }
    const snapshot = structuredClone(before);
    const { state, instructions } = stepBarrier(before, { ...event, nowMs: this.nowMs });
    expect(before, "the old state was changed").to.deep.equal(snapshot);
    this.state = state;
    this.past.push({ event: { ...event, nowMs: this.nowMs }, instructions });
    checkState(state);
    return instructions;
  }

  arrive(rank: number, incarnation: number, generation: number, digest: string, fails: boolean): readonly BarrierInstruction[] {
    const outcome = fails ? ({ type: "failed", error: { name: "Error", message: "no" } } as const) : ({ type: "ok" } as const);
    return this.play({
      type: "arrive",
      ...this.#who(rank, incarnation),
      name: "load",
      generation,
      digest,
      participants: null,
      timeoutMs: 1000,
      outcome,
    });
  }

  #who(rank: number, incarnation: number) {
    return { nowMs: 0, epoch: 3, rank, incarnation };
  }
}

/** What must hold in every state. */
function checkState({ open, names, members, timerDueMs }: BarrierState): void {
  for (const { name, generation, arrived, arrivedCount, participants } of open.values()) {
    expect(generation).to.equal(names.get(name)?.nextGeneration ?? 1);
    expect(arrived.filter(Boolean).length).to.equal(arrivedCount);
    expect(arrivedCount).to.be.within(1, participants.length - 1);
    for (const rank of participants) expect(members[rank]?.status, `rank ${rank}`).to.not.be.oneOf(["lost", "left"]);
  }
  for (const { nextGeneration, decisions } of names.values()) {
    expect(decisions.length).to.be.within(1, DECISIONS_KEPT);
    expect(decisions.map(({ generation }) => generation)).to.deep.equal(decisions.map((_, at) => nextGeneration - decisions.length + at));
  }
  expect(timerDueMs === null).to.equal(open.size === 0);
}

function sayAll(instructions: readonly BarrierInstruction[]): string[] {
  return instructions.flatMap((instruction) => {
    if (instruction.type === "decide" || instruction.type === "reply") return `${instruction.type} ${instruction.decision.outcome}`;
    return instruction.type === "refuse" ? `refuse ${instruction.reason}` : [];
  });
}

type Command = fc.Command<BarrierModel, Real>;

function command(
  text: string,
  predict: (model: BarrierModel) => string[],
  play: (real: Real, model: BarrierModel) => readonly BarrierInstruction[],
): Command {
  return {
    check: () => true,
    run: (model, real) => {
      // The machine first: its events need the model's generation from before.
      const played = play(real, model);
      expect(sayAll(played), text).to.deep.equal(predict(model));
    },
    toString: () => text,
  };
}

function commands(worldSize: number) {
  const rank = fc.nat(worldSize - 1);
  const arrive = (weight: { offset: fc.Arbitrary<number>; digest: fc.Arbitrary<string>; fails: fc.Arbitrary<boolean> }) =>
    fc.record({ rank, ...weight }).map(({ rank, offset, digest, fails }) => {
      const generationOf = (model: BarrierModel) => Math.max(1, model.next + offset);
      return command(
        `arrive ${rank} ${offset} ${digest} ${fails}`,
        (model) => model.arrive(rank, generationOf(model), digest, fails),
        (real, model) => real.arrive(rank, model.incarnations[rank] ?? 1, generationOf(model), digest, fails),
      );
    });
  const always = <T>(value: T) => fc.constant(value);
  const usual = arrive({ offset: always(0), digest: always("a"), fails: always(false) });
  const odd = arrive({ offset: fc.integer({ min: -70, max: 2 }), digest: fc.constantFrom("a", "b"), fails: fc.boolean() });
  const lose = rank.map((rank) =>
    command(
      `lose ${rank}`,
      (model) => model.lose(rank),
      (real) => real.play({ type: "loss", nowMs: 0, epoch: 3, rank, incarnation: null, loss: "killed", reason: "SIGKILL" }),
    ),
  );
  const rejoin = rank.map((rank) =>
    command(
      `rejoin ${rank}`,
      (model) => model.rejoin(rank),
      (real, model) =>
        real.play({ type: "join", nowMs: 0, epoch: 3, rank, incarnation: (model.incarnations[rank] ?? 0) + 1, place: PLACE }),
    ),
  );
  const abort = always(
    command(
      "abort",
      (model) => model.abort(),
      (real) => real.play({ type: "abort", nowMs: 0, epoch: 3, rank: null, error: { name: "Error", message: "stop" } }),
    ),
  );
  const timeout = always(
    command(
      "timeout",
      (model) => model.timeout(),
      (real) => {
        real.nowMs += 1001;
        return real.play({ type: "timer", nowMs: 0 });
      },
    ),
  );
  return fc.oneof(
    { arbitrary: usual, weight: 30 },
    { arbitrary: odd, weight: 6 },
    { arbitrary: lose, weight: 1 },
    { arbitrary: rejoin, weight: 2 },
    { arbitrary: abort, weight: 1 },
    { arbitrary: timeout, weight: 1 },
  );
}

describe("barrier properties", () => {
  it("the machine does what the model says", () => {
    fc.assert(
      fc.property(
        fc
          .integer({ min: 2, max: 4 })
          .chain((worldSize) =>
            fc.record({ worldSize: fc.constant(worldSize), list: fc.commands([commands(worldSize)], { maxCommands: 60 }) }),
          ),
        ({ worldSize, list }) => fc.modelRun(() => ({ model: new BarrierModel(worldSize), real: new Real(worldSize) }), list),
      ),
      { numRuns: 300 },
    );
  });

  it("a run changes in place what only it knows, and says and knows what single steps do", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }).chain((worldSize) =>
          fc.record({
            worldSize: fc.constant(worldSize),
            list: fc.commands([commands(worldSize)], { maxCommands: 60 }),
            looks: fc.infiniteStream(fc.boolean()),
          }),
        ),
        ({ worldSize, list, looks }) => {
          const real = new Real(worldSize);
          fc.modelRun(() => ({ model: new BarrierModel(worldSize), real }), list);
          const run = new BarrierRun(createBarrierState({ epoch: 3, worldSize }));
          const seen: [BarrierState, BarrierState][] = [];
          for (const { event, instructions } of real.past) {
            expect(run.step(event)).to.deep.equal(instructions);
            if (looks.next().value) seen.push([run.state, structuredClone(run.state)]);
          }
          expect(run.state).to.deep.equal(real.state);
          for (const [state, then] of seen) expect(state, "a state that was seen has changed").to.deep.equal(then);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("a timeout names exactly the missing ranks, in the error too", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(63), { minLength: 1, maxLength: 63 }), (missing) => {
        const real = new Real(64, false);
        const present = Array.from({ length: 64 }, (_, rank) => rank).filter((rank) => !missing.includes(rank));
        for (const rank of present) real.arrive(rank, 1, 1, "a", false);
        real.nowMs += 2000;
        const [first] = real.play({ type: "timer", nowMs: 0 });
        const decision = first?.type === "decide" ? first.decision : undefined;
        const sorted = [...missing].sort((a, b) => a - b);
        expect((decision as FailDecision).missing.ranks).to.deep.equal(sorted);
        const error = decisionError(decision as FailDecision);
        expect(error.details["missing"]).to.deep.equal(sorted);
        expect(error.message).to.include(sorted.length === 1 ? `rank ${sorted[0]} ` : `ranks ${rankRanges(sorted)},`);
      }),
      { numRuns: 1000 },
    );
  });

  it("I6: progress renews the deadline, however long it takes in all; silence ends it", () => {
    const real = new Real(2);
    real.arrive(0, 1, 1, "a", false);
    for (let turn = 0; turn < 50; turn += 1) {
      real.nowMs += 900;
      real.play({ type: "progress", nowMs: 0, epoch: 3, rank: 1, incarnation: 1, phase: "fetch" });
      expect(sayAll(real.play({ type: "timer", nowMs: 0 }))).to.deep.equal([]);
    }
    real.nowMs += 1000;
    expect(sayAll(real.play({ type: "timer", nowMs: 0 }))).to.deep.equal(["decide fail"]);
  });

  it("a run holds nothing of generations that were decided long ago, failed ones with late causes neither", () => {
    const program = fileURLToPath(new URL("programs/fail-late.js", import.meta.url));
    const { status, stdout, stderr } = spawnSync(process.execPath, ["--expose-gc", program], { encoding: "utf8", timeout: 50_000 });
    expect(status, stderr).to.equal(0);
    // 2 500 generations: 7.5 MB when the tables that each of them replaces were kept.
    expect(Number(stdout)).to.be.below(2 * 2 ** 20);
  }).timeout(60_000);

  it("memory is bounded over 10,000 generations", () => {
    let state = createBarrierState({ epoch: 0, worldSize: 1 });
    const who = { nowMs: 0, epoch: 0, rank: 0, incarnation: 1 };
    state = stepBarrier(state, { type: "join", ...who, place: PLACE }).state;
    for (let generation = 1; generation <= 10_000; generation += 1) {
      const event = {
        type: "arrive",
        ...who,
        name: "load",
        generation,
        digest: "",
        participants: null,
        timeoutMs: 1,
        outcome: { type: "ok" },
      } as const;
      state = stepBarrier(state, event).state;
    }
    expect(state.names.get("load")?.decisions.length).to.equal(DECISIONS_KEPT);
    expect(state.sequence).to.equal(10_000);
  });

  it("too many names are refused, and known ones go on", () => {
    let state = createBarrierState({ epoch: 0, worldSize: 1 });
    const who = { nowMs: 0, epoch: 0, rank: 0, incarnation: 1 };
    state = stepBarrier(state, { type: "join", ...who, place: PLACE }).state;
    const arrive = (name: string, generation: number) => {
      const step = stepBarrier(state, {
        type: "arrive",
        ...who,
        name,
        generation,
        digest: "",
        participants: null,
        timeoutMs: 1,
        outcome: { type: "ok" },
      });
      state = step.state;
      return sayAll(step.instructions);
    };
    for (let count = 0; count < 4096; count += 1) arrive(`step ${count}`, 1);
    expect(arrive("one more", 1)).to.deep.equal(["refuse too-many-names"]);
    expect(arrive("step 7", 2)).to.deep.equal(["decide pass"]);
  });
});
