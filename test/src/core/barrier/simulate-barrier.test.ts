/**
 * Random lives of a barrier. `BARRIER_SEEDS=200000` runs more of them, `REPLAY=<seed>` prints one. The seeds run from BARRIER_FIRST_SEED
 * (default 1), so the default run is the same every time.
 */
import { expect } from "chai";
import { MUTANTS } from "./simulation/machine.ts";
import { simulateBarrier } from "./simulation/simulate-barrier.ts";

const SEEDS = Number(process.env["BARRIER_SEEDS"] ?? 20_000);
const FIRST = Number(process.env["BARRIER_FIRST_SEED"] ?? 1);
/** Each mistake must show within this many schedules. */
const MUTANT_SEEDS = 5_000;

describe("simulated barriers", () => {
  it(`keep the invariants in ${SEEDS} schedules`, function () {
    this.timeout(20_000 + SEEDS * 5);
    const replay = process.env["REPLAY"];
    if (replay !== undefined) {
      process.stdout.write(`${simulateBarrier(Number(replay), { record: true }).transcript.join("\n")}\n`);
      return;
    }
    const seen = new Map<string, number>();
    const count = (what: string, times = 1) => seen.set(what, (seen.get(what) ?? 0) + times);
    for (let seed = FIRST; seed < FIRST + SEEDS; seed += 1) {
      const { passes, failures, unknowns, faults } = simulateBarrier(seed);
      count("passes", passes);
      count("unknowns", unknowns);
      for (const [kind, times] of failures) count(kind, times);
      for (const fault of faults) count(fault);
    }
    // A run in which nothing happens proves nothing: every outcome and every fault must have occurred often.
    for (const kind of ["timeout", "loss", "left", "restart", "mismatch", "failed", "abort", "reset", "unknowns"]) {
      expect(seen.get(kind) ?? 0, kind).to.be.greaterThan(SEEDS / 500);
    }
    expect(seen.get("passes") ?? 0).to.be.greaterThan(SEEDS / 2);
    for (const fault of ["kill", "kill and restart", "replace", "freeze", "reset", "new coordinator", "coordinator dies"]) {
      expect(seen.get(fault) ?? 0, fault).to.be.greaterThan(SEEDS / 20);
    }
  });

  it("replay byte for byte from their seed", () => {
    for (const seed of [1, 7, 4711]) {
      const first = simulateBarrier(seed, { record: true }).transcript.join("\n");
      expect(simulateBarrier(seed, { record: true }).transcript.join("\n")).to.equal(first);
      expect(first.length).to.be.greaterThan(100);
    }
  });

  for (const [mistake, machine] of MUTANTS) {
    it(`find out a machine that ${mistake}`, () => {
      let found: unknown;
      for (let seed = 1; seed <= MUTANT_SEEDS && found === undefined; seed += 1) {
        try {
          simulateBarrier(seed, { machine });
        } catch (error) {
          found = error;
        }
      }
      expect(String(found)).to.match(/seed \d+: I\d+/);
    });
  }
});
