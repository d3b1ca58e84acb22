/** One simulated rank process: joins, works, calls its barriers one after another, and may be frozen or killed at any time. */
import {
  type ArrivalOutcome,
  type CallerEvent,
  type CallerInstruction,
  type CallerState,
  createCallerState,
  type FenceReason,
} from "@rankcast/core/internal";
import { Violation } from "./ledger.ts";
import type { SimulatedCoordinator } from "./simulated-coordinator.ts";
import type { SimulatedWorld } from "./simulated-world.ts";

/** What one rank does in one generation that is not the usual. */
export interface Deviation {
  readonly rank: number;
  readonly generation: number;
  readonly what: "fails" | "disagrees" | "other-participants" | "leaves";
}

type Settlement = Extract<CallerInstruction, { type: "settle" }>;

/** Long enough for every decision of a living coordinator. */
const SILENCE_MS = 20_000;

/** A process with a rank in one epoch. */
export class SimulatedProcess {
  alive = true;
  frozenUntilMs = 0;
  caller: CallerState | null = null;
  readonly #world: SimulatedWorld;
  readonly coordinator: SimulatedCoordinator;
  /** The epoch it was started in; its coordinator may have moved on. */
  readonly epoch: number;
  readonly rank: number;
  readonly incarnation: number;

  constructor(world: SimulatedWorld, coordinator: SimulatedCoordinator, rank: number, incarnation: number) {
    this.#world = world;
    this.coordinator = coordinator;
    this.epoch = coordinator.epoch;
    this.rank = rank;
    this.incarnation = incarnation;
    this.join();
  }

  /** Who this is, in logs. */
  get name(): string {
    return `${this.rank}#${this.incarnation}`;
  }

  /** A call that has not returned. */
  get waits(): boolean {
    return this.alive && this.caller !== null && this.caller.pending.size > 0;
  }

  /** Says hello, again after each new connection. */
  join(): void {
    const { epoch } = this;
    const place = { localRank: 0, nodeRank: this.rank, host: "h", pid: this.incarnation };
    this.#world.toCoordinator(this, { type: "join", nowMs: 0, epoch, rank: this.rank, incarnation: this.incarnation, place });
  }

  /** Runs now, or when the process thaws; never in a dead one. */
  run(action: () => void): void {
    if (!this.alive) return;
    const { agenda } = this.#world;
    if (this.frozenUntilMs > agenda.nowMs) agenda.after(this.frozenUntilMs - agenda.nowMs, () => this.run(action));
    else action();
  }

  /** The coordinator let this process in; saying so again changes nothing. */
  admitted(epoch: number, generations: readonly (readonly [string, number])[]): void {
    if (this.caller !== null || epoch !== this.epoch) return;
    const { rank, incarnation } = this;
    this.caller = createCallerState({ epoch, rank, incarnation, silenceMs: SILENCE_MS, nowMs: this.#world.agenda.nowMs, generations });
    this.#work();
  }

  /** The connection was lost and is back. */
  reconnected(): void {
    this.join();
    this.take({ type: "reconnected", nowMs: this.#world.agenda.nowMs });
  }

  /** The connection is gone for good. */
  lost(reason: FenceReason): void {
    this.take({ type: "lost", nowMs: this.#world.agenda.nowMs, reason });
  }

  /** Gives an event to this rank's side of the barrier and does what it asks for. */
  take(event: CallerEvent): void {
    if (this.caller === null) return;
    const step = this.#world.machine.stepCaller(this.caller, event);
    this.caller = step.state;
    for (const instruction of step.instructions) {
      if (instruction.type === "send") {
        this.#world.ledger.sent(instruction.message);
        this.#world.toCoordinator(this, { ...instruction.message, nowMs: 0 });
      } else if (instruction.type === "settle") this.#settled(instruction);
      else if (instruction.type === "setTimer") {
        this.#world.agenda.after(Math.max(0, instruction.dueMs - this.#world.agenda.nowMs), () => {
          this.run(() => this.take({ type: "timer", nowMs: this.#world.agenda.nowMs }));
        });
      }
    }
  }

  #settled({ name, generation, result }: Settlement): void {
    this.#world.log(
      () => `${this.name} ${name}.${generation} returns ${result.type === "decided" ? result.decision.outcome : result.reason}`,
    );
    if (result.type === "decided") {
      this.#world.ledger.returned(result.decision);
      this.#work();
      return;
    }
    if (result.type === "unknown") this.#world.ledger.unknowns += 1;
    if (result.reason === "coordinator-silent" && this.coordinator.alive) {
      throw new Violation(`I4: ${this.name} was left alone at ${name}.${generation}`);
    }
  }

  /** Busy for a while, with or without reporting it, then at the next barrier. */
  #work(): void {
    const { random, agenda } = this.#world;
    const long = random.chance(0.05);
    const workMs = random.below(long ? 500 : 30);
    if (random.chance(0.3)) {
      agenda.after(random.below(workMs + 1), () => this.run(() => this.#reportProgress()));
    }
    agenda.after(workMs, () => this.run(() => this.#callNext()));
  }

  #reportProgress(): void {
    const { rank, incarnation, epoch } = this;
    this.#world.toCoordinator(this, { type: "progress", nowMs: 0, epoch, rank, incarnation, phase: "fetch" });
  }

  #callNext(): void {
    if (this.caller === null) return;
    const { plan, agenda } = this.#world;
    const generation = this.caller.nextGeneration.get("load") ?? 1;
    if (generation > plan.generations) {
      if (plan.leaves) this.#leave();
      return;
    }
    const deviation = plan.deviations.find((each) => each.rank === this.rank && each.generation === generation)?.what;
    if (deviation === "leaves") {
      this.#leave();
      return;
    }
    const error = { name: "StateDictError", message: `size mismatch on ${this.rank}` };
    const outcome: ArrivalOutcome = deviation === "fails" ? { type: "failed", error } : { type: "ok" };
    const digest = deviation === "disagrees" ? "other" : `generation ${generation}`;
    const participants = deviation === "other-participants" ? [this.rank] : null;
    this.take({ type: "call", nowMs: agenda.nowMs, name: "load", digest, participants, timeoutMs: plan.timeoutMs, outcome });
  }

  #leave(): void {
    const { rank, incarnation, epoch } = this;
    this.#world.ledger.suspect(epoch, rank);
    this.#world.toCoordinator(this, { type: "leave", nowMs: 0, epoch, rank, incarnation });
  }
}
