/** One random life of a barrier from one seed: who comes when, what the network does to it, who dies. */
import { Violation } from "./ledger.ts";
import { type Machine, REAL } from "./machine.ts";
import { createRandom, type Random } from "./random.ts";
import { SimulatedCoordinator } from "./simulated-coordinator.ts";
import type { Deviation } from "./simulated-process.ts";
import { type Plan, SimulatedWorld } from "./simulated-world.ts";

/** What a run came to. */
export interface SimulationResult {
  readonly steps: number;
  readonly passes: number;
  /** Failed generations by kind of cause. */
  readonly failures: ReadonlyMap<string, number>;
  readonly unknowns: number;
  /** Faults that were put in, by kind. */
  readonly faults: readonly string[];
  /** One line per event, when asked for. */
  readonly transcript: readonly string[];
}

/** No run of this size needs more; one that does never ends. */
const STEPS_MAX = 20_000;

/**
 * Runs one schedule and checks the invariants at every step.
 * @throws {Violation} naming invariant and seed.
 */
export function simulateBarrier(seed: number, options: { machine?: Machine; record?: boolean } = {}): SimulationResult {
  const random = createRandom(seed);
  const world = new SimulatedWorld(createPlan(random), random, options.machine ?? REAL, options.record ?? false);
  try {
    for (let rank = 0; rank < world.plan.worldSize; rank += 1) {
      // A rank may be late, or (rarely) never come at all.
      if (!random.chance(0.02)) world.agenda.after(random.below(20), () => world.start(rank));
    }
    const faults = planFaults(world);
    while (world.agenda.step()) {
      if (world.steps > STEPS_MAX) throw new Violation("I4: the run does not end");
    }
    const waiting = world.processes.filter((process) => process.waits);
    if (waiting.length > 0) throw new Violation(`I4: ${waiting.map((process) => process.name).join()} wait for ever`);
    const { steps, ledger, transcript } = world;
    return { steps, passes: ledger.passes, failures: ledger.failures, unknowns: ledger.unknowns, faults, transcript };
  } catch (error) {
    if (error instanceof Violation) throw new Violation(`seed ${seed}: ${error.message}`);
    throw error;
  }
}

function createPlan(random: Random): Plan {
  const worldSize = 2 + random.below(random.chance(0.2) ? 7 : 3);
  const generations = 1 + random.below(4);
  const deviations: Deviation[] = [];
  if (random.chance(0.15)) {
    const kinds = ["fails", "disagrees", "other-participants", "leaves"] as const;
    for (let count = 1 + random.below(2); count > 0; count -= 1) {
      deviations.push({
        rank: random.below(worldSize),
        generation: 1 + random.below(generations),
        what: kinds[random.below(4)] ?? "fails",
      });
    }
  }
  const calm = random.chance(0.3);
  return {
    worldSize,
    generations,
    timeoutMs: 150 + random.below(400),
    deviations,
    leaves: random.chance(0.2),
    lossRate: calm ? 0 : random.below(8) / 100,
    duplicateRate: calm ? 0 : random.below(20) / 100,
    slowRate: calm ? 0 : random.below(15) / 100,
  };
}

/** Up to three faults at random times. */
function planFaults(world: SimulatedWorld): string[] {
  const { random, agenda } = world;
  const faults: string[] = [];
  for (let count = random.below(4); count > 0; count -= 1) {
    const [kind, inject] = FAULTS[random.below(FAULTS.length)] ?? FAULTS[0];
    faults.push(kind);
    agenda.after(random.below(200), () => {
      world.log(() => `fault: ${kind}`);
      inject(world, random.below(world.plan.worldSize));
    });
  }
  return faults;
}

const FAULTS: readonly [readonly [string, Fault], ...(readonly [string, Fault])[]] = [
  ["kill", kill],
  ["kill and restart", killAndRestart],
  ["replace", replace],
  ["freeze", freeze],
  ["abort", abort],
  ["coordinator's work fails", failWork],
  ["reset", reset],
  ["new coordinator", newCoordinator],
  ["coordinator dies", coordinatorDies],
];

type Fault = (world: SimulatedWorld, rank: number) => void;

/** SIGKILL; the coordinator hears of it soon, sometimes twice. */
function kill(world: SimulatedWorld, rank: number): void {
  const process = world.processOf(rank);
  const { coordinator } = world;
  if (process === undefined) return;
  process.alive = false;
  world.ledger.suspect(process.epoch, rank);
  const notice = () =>
    coordinator.take({
      type: "loss",
      nowMs: 0,
      epoch: process.epoch,
      rank,
      incarnation: process.incarnation,
      loss: "killed",
      reason: "SIGKILL",
    });
  world.agenda.after(world.random.below(20), notice);
  if (world.random.chance(0.3)) world.agenda.after(world.random.below(100), notice);
}

function killAndRestart(world: SimulatedWorld, rank: number): void {
  kill(world, rank);
  world.agenda.after(world.random.below(60), () => world.start(rank));
}

/** A second process with the same rank, while the first one lives. */
function replace(world: SimulatedWorld, rank: number): void {
  world.start(rank);
}

/** SIGSTOP for a while; given up when it lasts longer than the bound. */
function freeze(world: SimulatedWorld, rank: number): void {
  const process = world.processOf(rank);
  const { coordinator, agenda, random } = world;
  if (process === undefined) return;
  const frozenMs = random.below(300);
  const boundMs = 120;
  process.frozenUntilMs = agenda.nowMs + frozenMs;
  if (frozenMs <= boundMs) return;
  agenda.after(boundMs, () => {
    world.ledger.suspect(process.epoch, rank);
    coordinator.take({
      type: "loss",
      nowMs: 0,
      epoch: process.epoch,
      rank,
      incarnation: process.incarnation,
      loss: "unresponsive",
      reason: "no sign of life",
    });
  });
}

function abort({ coordinator }: SimulatedWorld, rank: number): void {
  coordinator.take({ type: "abort", nowMs: 0, epoch: coordinator.epoch, rank, error: { name: "Error", message: "disk full" } });
}

function failWork({ coordinator }: SimulatedWorld): void {
  const error = { name: "SourceError", message: "404" };
  coordinator.take({ type: "fail", nowMs: 0, epoch: coordinator.epoch, name: "load", generation: null, error });
}

/** The launcher restarts the job under the same coordinator; some old processes survive for a while. */
function reset(world: SimulatedWorld): void {
  const { coordinator } = world;
  if (!coordinator.alive) return;
  coordinator.take({ type: "reset", nowMs: 0, epoch: coordinator.epoch + 1, worldSize: world.plan.worldSize });
  restartRanks(world);
}

/** The launcher starts another coordinator and believes the first one dead, which goes on deciding for those who still talk to it. */
function newCoordinator(world: SimulatedWorld): void {
  world.stale = world.coordinator;
  world.coordinator = new SimulatedCoordinator(world, world.coordinator.epoch + 1);
  restartRanks(world);
}

function restartRanks(world: SimulatedWorld): void {
  for (let rank = 0; rank < world.plan.worldSize; rank += 1) {
    const old = world.processOf(rank);
    if (old !== undefined && world.random.chance(0.7)) old.alive = false;
    world.agenda.after(world.random.below(30), () => world.start(rank));
  }
}

/** Nothing is decided any more; most ranks notice soon, the others by its silence. */
function coordinatorDies(world: SimulatedWorld): void {
  world.coordinator.alive = false;
  world.disconnectAll(world.coordinator, "coordinator-lost");
}
