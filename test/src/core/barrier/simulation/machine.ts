/** The machines under test, and broken ones that a good simulation must tell from them. */
import { type BarrierStep, type CallerStep, createBarrierState, stepBarrier, stepCaller } from "@rankcast/core/internal";

/** Both sides of a barrier. */
export interface Machine {
  readonly stepBarrier: typeof stepBarrier;
  readonly stepCaller: typeof stepCaller;
}

/** The real ones. */
export const REAL: Machine = { stepBarrier, stepCaller };

/** Machines with one mistake each, by name. */
export const MUTANTS: ReadonlyMap<string, Machine> = new Map<string, Machine>([
  [
    "counts without generations",
    coordinator((state, event, step) => {
      if (event.type !== "arrive") return step(state, event);
      return step(state, { ...event, generation: state.names.get(event.name)?.nextGeneration ?? 1 });
    }),
  ],
  [
    "forgets its decisions",
    coordinator((state, event, step) => {
      const { state: next, instructions } = step(state, event);
      return { state: event.type === "timer" ? { ...next, names: new Map() } : next, instructions };
    }),
  ],
  [
    "lets the members time out",
    {
      stepBarrier,
      stepCaller: (state, event) => {
        if (event.type !== "timer" || state.pending.size === 0) return stepCaller(state, event);
        const instructions = [...state.pending.values()].map(({ epoch, name, generation }) => {
          const base = {
            epoch,
            name,
            generation,
            sequence: 0,
            participants: null,
            openedMs: 0,
            decidedMs: 0,
            missing: { ranks: [], reports: [] },
          };
          const decision = { ...base, outcome: "fail", cause: { kind: "reset", epoch }, later: [] } as const;
          return { type: "settle", name, generation, result: { type: "decided", decision } } as const;
        });
        return { state: { ...state, pending: new Map() }, instructions } satisfies CallerStep;
      },
    },
  ],
  [
    "passes with one missing",
    coordinator((state, event, step) => {
      const { state: next, instructions } = step(state, event);
      const almost = [...next.open.values()].find((open) => open.arrivedCount === open.participants.length - 1);
      if (almost === undefined || event.type !== "arrive") return { state: next, instructions };
      const missing = almost.participants.find((_, at) => almost.arrived[at] !== true) ?? 0;
      const { incarnation } = next.members[missing] ?? { incarnation: -1 };
      const again = step(next, { ...event, rank: missing, incarnation });
      return { state: again.state, instructions: [...instructions, ...again.instructions] };
    }),
  ],
  [
    "does not notice losses",
    coordinator((state, event, step) => (event.type === "loss" ? { state, instructions: [] } : step(state, event))),
  ],
  [
    "forgets that it was aborted",
    coordinator((state, event, step) => {
      const { state: next, instructions } = step(state, event);
      return { state: { ...next, abort: null }, instructions };
    }),
  ],
  [
    "ignores incarnations",
    coordinator((state, event, step) => {
      if (event.type !== "arrive") return step(state, event);
      return step(state, { ...event, incarnation: state.members[event.rank]?.incarnation ?? event.incarnation });
    }),
  ],
  [
    "ignores epochs",
    {
      stepBarrier: (state, event) => stepBarrier(state, event.type === "arrive" ? { ...event, epoch: state.epoch } : event),
      stepCaller: (state, event) => {
        return stepCaller(state, event.type === "decision" ? { ...event, decision: { ...event.decision, epoch: state.epoch } } : event);
      },
    },
  ],
  [
    "blames one rank too many",
    coordinator((state, event, step) => {
      const { state: next, instructions } = step(state, event);
      return {
        state: next,
        instructions: instructions.map((instruction) => {
          if (instruction.type !== "decide" || instruction.decision.outcome !== "fail") return instruction;
          const { missing } = instruction.decision;
          const ranks = instruction.waiting[0] === undefined ? missing.ranks : [...missing.ranks, instruction.waiting[0]];
          return { ...instruction, decision: { ...instruction.decision, missing: { ...missing, ranks } } };
        }),
      };
    }),
  ],
  [
    "is impatient",
    coordinator((state, event, step) => step(state, event.type === "timer" ? { ...event, nowMs: event.nowMs + 10_000 } : event)),
  ],
  ["never times out", coordinator((state, event, step) => (event.type === "timer" ? { state, instructions: [] } : step(state, event)))],
  [
    "tells only those who wait last",
    coordinator((state, event, step) => {
      const { state: next, instructions } = step(state, event);
      return {
        state: next,
        instructions: instructions.map((each) => (each.type === "decide" ? { ...each, waiting: each.waiting.slice(1) } : each)),
      };
    }),
  ],
  [
    "starts the next epoch with the old decisions",
    coordinator((state, event, step) => {
      const { state: next, instructions } = step(state, event);
      if (event.type !== "reset") return { state: next, instructions };
      return { state: { ...createBarrierState({ epoch: next.epoch, worldSize: next.members.length }), names: state.names }, instructions };
    }),
  ],
]);

type Step = Machine["stepBarrier"];

function coordinator(mutate: (state: Parameters<Step>[0], event: Parameters<Step>[1], step: Step) => BarrierStep): Machine {
  return { stepBarrier: (state, event) => mutate(state, event, stepBarrier), stepCaller };
}
