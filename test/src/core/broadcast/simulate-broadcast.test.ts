/**
 * Random clusters with random faults. `BROADCAST_SEEDS=100000` runs more of them from BROADCAST_FIRST_SEED on, `REPLAY=<seed>` prints one. The
 * default run is the same every time.
 */
import { expect } from "chai";
import { simulate } from "./simulation/simulate-broadcast.ts";
import { chance, type Faults, type Outcome, type Simulation } from "./simulation/simulation.ts";

const SEEDS = Number(process.env["BROADCAST_SEEDS"] ?? 4000);
const FIRST = Number(process.env["BROADCAST_FIRST_SEED"] ?? 1);
const NO_FAULTS: Faults = { cut: 0, corrupt: 0, blackhole: 0, death: 0, freeze: 0, late: 0 };

/** The cluster of a seed: every second one has one kind of fault, the others have several. */
function clusterOf(seed: number): Simulation {
  const random = chance(seed * 7919);
  const nodes = 2 + Math.floor(random() * 8);
  const several = seed % 2 === 0;
  const only = Math.floor(random() * 6);
  const odds = (at: number, most: number): number => ((several ? random() < 0.4 : at === only) ? random() * most : 0);
  const owners = random() < 0.25 ? nodes : 1;
  return {
    seed,
    nodes,
    owners,
    chunks: 1 + Math.floor(random() * 40),
    chunkMs: 1 + random() * 40,
    latencyMs: 0.1 + random() * 5,
    creditChunks: 1 + Math.floor(random() * 8),
    connections: random() < 0.4 ? 1 : 2 + Math.floor(random() * 4),
    faults: {
      cut: odds(0, 0.2),
      corrupt: odds(1, 0.05),
      blackhole: odds(2, 0.3),
      death: odds(3, 0.4),
      freeze: odds(4, 0.4),
      late: odds(5, 0.5),
    },
  };
}

function check(simulation: Simulation, outcome: Outcome): void {
  const where = `seed ${simulation.seed}`;
  expect(outcome.violations, where).to.deep.equal([]);
  // Wrong bytes again and again are the one honest reason to fail as long as an owner is there.
  outcome.failed.forEach((failure, rank) => {
    if (failure !== null && !outcome.gone[rank]) expect(failure, `${where}, node ${rank}`).to.equal("corrupt");
  });
  const excused = outcome.failed.map((failure, rank) => failure !== null || outcome.gone[rank] === true);
  outcome.completedMs.forEach((completedMs, rank) => {
    if (!excused[rank] && !excused.some((each, other) => each && other < simulation.owners)) {
      expect(completedMs, `${where}, node ${rank}`).to.be.a("number");
    }
  });
}

describe("simulated broadcasts", () => {
  it(`bring every chunk to every node that lives, in ${SEEDS} schedules`, function () {
    this.timeout(30_000 + SEEDS * 20);
    const replay = process.env["REPLAY"];
    if (replay !== undefined) {
      const simulation = clusterOf(Number(replay));
      process.stdout.write(`${JSON.stringify([simulation, simulate(simulation)], undefined, 1)}\n`);
      return;
    }
    const fired = new Map<string, number>();
    let completed = 0;
    for (let seed = FIRST; seed < FIRST + SEEDS; seed += 1) {
      const simulation = clusterOf(seed);
      const outcome = simulate(simulation);
      check(simulation, outcome);
      for (const fault of outcome.fired) fired.set(fault, (fired.get(fault) ?? 0) + 1);
      completed += outcome.completedMs.every((each) => each !== null) ? 1 : 0;
    }
    // A run in which nothing happens proves nothing.
    for (const fault of Object.keys(NO_FAULTS)) expect(fired.get(fault) ?? 0, fault).to.be.greaterThan(SEEDS / 20);
    expect(completed).to.be.greaterThan(SEEDS / 3);
  });

  it("replay from their seed", () => {
    for (const seed of [2, 3, 4711]) expect(simulate(clusterOf(seed))).to.deep.equal(simulate(clusterOf(seed)));
  });
});

describe("a simulated chain of 8", () => {
  const chain = { seed: 1, nodes: 8, owners: 1, chunks: 64, chunkMs: 42, latencyMs: 0.5, creditChunks: 32 };
  const last = (outcome: Outcome, but: readonly number[] = []): number =>
    Math.max(...outcome.completedMs.map((each, rank) => (but.includes(rank) ? 0 : (each ?? Number.POSITIVE_INFINITY))));

  it("ends one pipeline after one link's own time", () => {
    const outcome = simulate({ ...chain, faults: NO_FAULTS });
    // Links are as fast as chance has it, half to one and a half of the mean: a chain is as fast as its slowest moment.
    expect(last(outcome)).to.be.lessThan(64 * 42 * 1.3 + 6 * 42 * 2);
    expect(outcome.repeated).to.equal(0);
  });

  it("sends at most one chunk again per broken connection", () => {
    for (let seed = 1; seed <= 50; seed += 1) {
      const outcome = simulate({ ...chain, seed, faults: { ...NO_FAULTS, cut: 0.05 } });
      expect(outcome.repeated, `seed ${seed}`).to.equal(0);
      expect(outcome.completedMs.every((each) => each !== null)).to.equal(true);
    }
  });

  it("loses a connection of several without losing the link, and sends nothing twice that has arrived", () => {
    for (let seed = 1; seed <= 50; seed += 1) {
      const several = { ...chain, seed, connections: 4, faults: { ...NO_FAULTS, cut: 0.05 } };
      const outcome = simulate(several);
      expect(outcome.violations, `seed ${seed}`).to.deep.equal([]);
      expect(outcome.repeated, `seed ${seed}`).to.equal(0);
      // The simulated way does not give back the time of what was on it when a connection was cut.
      expect(last(outcome), `seed ${seed}`).to.be.at.most(2 * last(simulate({ ...several, connections: 1 })));
    }
  });

  it("goes on over the connections that live when one swallows everything", () => {
    for (let seed = 1; seed <= 50; seed += 1) {
      const outcome = simulate({ ...chain, seed, connections: 4, faults: { ...NO_FAULTS, blackhole: 0.2 } });
      expect(outcome.violations, `seed ${seed}`).to.deep.equal([]);
      expect(last(outcome), `seed ${seed}`).to.be.lessThan(30_000);
    }
  });

  // 17 s on one link, as a gigabyte at 500 Mbit/s: what the others lose is the time until somebody notices.
  const long = { ...chain, chunks: 400, faults: NO_FAULTS };

  for (const [what, fault, but] of [
    ["stands still", { halt: { nodeRank: 3, atMs: 5000 } }, [3]],
    ["has a link 100 times slower", { slow: { nodeRank: 3, times: 100 } }, [3]],
  ] as const) {
    it(`makes nobody else lose more than a twentieth when a node ${what}`, () => {
      for (let seed = 1; seed <= 10; seed += 1) {
        const healthy = last(simulate({ ...long, seed }), but);
        const outcome = simulate({ ...long, seed, ...fault });
        expect(last(outcome, but), `seed ${seed}`).to.be.lessThan(1.05 * healthy);
      }
    });
  }
});
