/** One simulated coordinator: drives the machine the way a real driver does. */
import { type BarrierEvent, type BarrierInstruction, type BarrierState, createBarrierState } from "@rankcast/core/internal";
import type { SimulatedProcess } from "./simulated-process.ts";
import type { SimulatedWorld } from "./simulated-world.ts";

/** A coordinator of one epoch, or of several when it is reset. */
export class SimulatedCoordinator {
  alive = true;
  state: BarrierState;
  members: BarrierState["members"] = [];
  #timer = 0;
  readonly #world: SimulatedWorld;

  constructor(world: SimulatedWorld, epoch: number) {
    this.#world = world;
    this.state = createBarrierState({ epoch, worldSize: world.plan.worldSize });
  }

  /** The epoch it serves. */
  get epoch(): number {
    return this.state.epoch;
  }

  /** Gives an event to the machine and does what it asks for; answers go to the process the message came from. */
  take(event: BarrierEvent, from?: SimulatedProcess): void {
    if (!this.alive) return;
    const { ledger, agenda, machine } = this.#world;
    const { epoch } = this;
    const now = { ...event, nowMs: agenda.nowMs };
    this.#world.steps += 1;
    ledger.delivering(epoch, now);
    // A reset clears the table, but its decisions are for those who were in it.
    this.members = this.state.members;
    const step = machine.stepBarrier(this.state, now);
    if (event.type !== "reset") this.members = step.state.members;
    this.state = step.state;
    this.#world.log(() => `coordinator ${epoch} takes ${sayEvent(now)}: ${step.instructions.map(sayInstruction).join("; ") || "nothing"}`);
    if (!step.instructions.some(({ type }) => type === "refuse" || type === "reply" || type === "stop") && isCurrent(now, epoch))
      ledger.taken(epoch, now);
    for (const instruction of step.instructions) this.#follow(instruction, from);
    if (this.alive) ledger.checkWaiting(epoch, this.state.members.length);
  }

  #follow(instruction: BarrierInstruction, from: SimulatedProcess | undefined): void {
    const world = this.#world;
    switch (instruction.type) {
      case "decide": {
        const { decision, waiting, busy } = instruction;
        world.ledger.decided(decision, world.agenda.nowMs);
        world.ledger.checkPass(decision, this.state.members.length);
        for (const rank of [...waiting, ...busy]) {
          const process = world.find(this, decision.epoch, rank, this.members[rank]?.incarnation);
          world.toRank(process, (to) => to.take({ type: "decision", nowMs: world.agenda.nowMs, decision }));
        }
        break;
      }
      case "reply": {
        const { decision } = instruction;
        world.ledger.replied(decision);
        world.toRank(from, (to) => to.take({ type: "decision", nowMs: world.agenda.nowMs, decision }));
        break;
      }
      case "refuse": {
        const { reason, name = "", generation = 0 } = instruction;
        world.toRank(from, (to) => to.take({ type: "refused", nowMs: world.agenda.nowMs, reason, name, generation }));
        break;
      }
      case "admit": {
        const { epoch, generations } = instruction;
        world.toRank(from, (to) => to.admitted(epoch, generations));
        break;
      }
      case "fence":
        world.toRank(world.find(this, this.epoch, instruction.rank, instruction.incarnation), (to) => to.lost("fenced"));
        break;
      case "setTimer":
        this.#setTimer(instruction.dueMs);
        break;
      case "clearTimer":
        this.#timer += 1;
        break;
      case "stop":
        this.alive = false;
        world.disconnectAll(this, "superseded");
        break;
      case "aborted":
        break;
    }
  }

  #setTimer(dueMs: number): void {
    this.#timer += 1;
    const mine = this.#timer;
    this.#world.agenda.after(Math.max(0, dueMs - this.#world.agenda.nowMs), () => {
      if (mine === this.#timer) this.take({ type: "timer", nowMs: 0 });
    });
  }
}

function isCurrent(event: BarrierEvent, epoch: number): boolean {
  return !("epoch" in event) || event.epoch === epoch;
}

function sayEvent(event: BarrierEvent): string {
  switch (event.type) {
    case "arrive":
      return `arrive ${event.rank}#${event.incarnation} ${event.name}.${event.generation} of epoch ${event.epoch} (${event.outcome.type})`;
    case "timer":
      return "timer";
    case "abort":
      return `abort by ${event.rank}`;
    case "fail":
      return `fail ${event.name}`;
    case "reset":
      return `reset to ${event.epoch}`;
    default:
      return `${event.type} ${event.rank}#${event.incarnation}`;
  }
}

function sayInstruction(instruction: BarrierInstruction): string {
  switch (instruction.type) {
    case "decide":
    case "reply": {
      const { name, generation, outcome } = instruction.decision;
      const why = instruction.decision.outcome === "fail" ? ` (${instruction.decision.cause.kind})` : "";
      return `${instruction.type} ${name}.${generation} ${outcome}${why}`;
    }
    case "refuse":
      return `refuse ${instruction.rank}#${instruction.incarnation}: ${instruction.reason}`;
    case "setTimer":
      return `timer at ${instruction.dueMs}`;
    default:
      return instruction.type;
  }
}
