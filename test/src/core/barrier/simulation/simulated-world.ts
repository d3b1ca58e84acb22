/** Ranks, a coordinator (sometimes a second one) and a network between them that delays, loses, repeats and reorders. */
import type { BarrierEvent, FenceReason } from "@rankcast/core/internal";
import { Agenda } from "./agenda.ts";
import { Ledger } from "./ledger.ts";
import type { Machine } from "./machine.ts";
import type { Random } from "./random.ts";
import { SimulatedCoordinator } from "./simulated-coordinator.ts";
import { type Deviation, SimulatedProcess } from "./simulated-process.ts";

/** What is fixed before a run starts. */
export interface Plan {
  readonly worldSize: number;
  readonly generations: number;
  readonly timeoutMs: number;
  readonly deviations: readonly Deviation[];
  /** Whether ranks say goodbye when they are through. */
  readonly leaves: boolean;
  /** Probability of each trouble, per message. */
  readonly lossRate: number;
  readonly duplicateRate: number;
  readonly slowRate: number;
}

/** One run. */
export class SimulatedWorld {
  readonly agenda = new Agenda();
  readonly ledger = new Ledger();
  readonly transcript: string[] = [];
  readonly processes: SimulatedProcess[] = [];
  coordinator: SimulatedCoordinator;
  steps = 0;
  readonly plan: Plan;
  readonly random: Random;
  readonly machine: Machine;
  readonly #record: boolean;
  /** A coordinator that was replaced and does not know it. */
  stale: SimulatedCoordinator | null = null;

  constructor(plan: Plan, random: Random, machine: Machine, record: boolean) {
    this.plan = plan;
    this.random = random;
    this.machine = machine;
    this.#record = record;
    this.coordinator = new SimulatedCoordinator(this, 1);
  }

  /** Writes a line when somebody wants to read it. */
  log(line: () => string): void {
    if (this.#record) this.transcript.push(`${this.agenda.nowMs} ${line()}`);
  }

  /** A new process for a rank, at the current coordinator. Incarnations count per epoch, so that only the epoch tells old from new. */
  start(rank: number): void {
    const { epoch } = this.coordinator;
    const before = this.processes.filter((each) => each.rank === rank && each.coordinator === this.coordinator && each.epoch === epoch);
    if (before.length > 0) this.ledger.suspect(epoch, rank);
    this.processes.push(new SimulatedProcess(this, this.coordinator, rank, before.length + 1));
  }

  /** The newest living process of a rank. */
  processOf(rank: number): SimulatedProcess | undefined {
    return this.processes.findLast((process) => process.rank === rank && process.alive);
  }

  /** The process with that rank and incarnation. */
  find(coordinator: SimulatedCoordinator, epoch: number, rank: number, incarnation: number | undefined): SimulatedProcess | undefined {
    return this.processes.find((each) => {
      return each.rank === rank && each.incarnation === incarnation && each.epoch === epoch && each.coordinator === coordinator;
    });
  }

  /** Sends from a process to its coordinator. A lost message is a broken connection: it comes back, and both sides say again what matters. */
  toCoordinator(process: SimulatedProcess, event: BarrierEvent): void {
    const { coordinator } = process;
    this.#transmit(
      () => coordinator.take(event, process),
      () => process.run(() => process.reconnected()),
    );
    const { stale } = this;
    // An address from before the restart: the old coordinator hears of the new epoch.
    if (stale !== null && stale !== coordinator && this.random.chance(0.02)) this.agenda.after(1, () => stale.take(event, process));
  }

  /** Sends to a process, if it is there. */
  toRank(process: SimulatedProcess | undefined, deliver: (process: SimulatedProcess) => void): void {
    if (process === undefined) return;
    this.#transmit(
      () => process.run(() => deliver(process)),
      () => process.run(() => process.reconnected()),
    );
  }

  /** Every process of a coordinator learns that it is gone, or learns it only from silence. */
  disconnectAll(coordinator: SimulatedCoordinator, reason: FenceReason): void {
    for (const process of this.processes) {
      if (process.coordinator !== coordinator || this.random.chance(0.2)) continue;
      this.agenda.after(this.random.below(50), () => process.run(() => process.lost(reason)));
    }
  }

  #transmit(deliver: () => void, lost: () => void): void {
    const { random, agenda, plan } = this;
    if (random.chance(plan.lossRate)) {
      agenda.after(5 + random.below(60), lost);
      return;
    }
    const delay = () => random.below(random.chance(plan.slowRate) ? 300 : 10);
    agenda.after(delay(), deliver);
    if (random.chance(plan.duplicateRate)) agenda.after(delay(), deliver);
  }
}
