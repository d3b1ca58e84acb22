/** The barrier machine as a partner in a transcript: commands are events, answers are instructions. */
import {
  type BarrierDecision,
  type BarrierEvent,
  type BarrierInstruction,
  type BarrierState,
  createBarrierState,
  decisionError,
  describeWaiting,
  type FailDecision,
  type FailureCause,
  type LossKind,
  rankRanges,
  stepBarrier,
} from "@rankcast/core/internal";
import { type Answerer, parseCommand, parseRanges } from "../../support/transcript.ts";

type Options = ReadonlyMap<string, string>;

/** Understands `world`, `join`, `arrive`, `leave`, `lose`, `progress`, `abort`, `timer`, `reset`, `waiting`, `error`, `state`; `@100` sets the time. */
export function createBarrierAnswerer(): Answerer {
  let state: BarrierState = createBarrierState({ epoch: 1, worldSize: 1 });
  let nowMs = 0;
  let lastFailure: FailDecision | undefined;

  const play = (event: BarrierEvent): string[] => {
    const step = stepBarrier(state, event);
    state = step.state;
    for (const instruction of step.instructions) {
      const decision = "decision" in instruction ? instruction.decision : undefined;
      if (decision?.outcome === "fail") lastFailure = decision;
    }
    return step.instructions.map(sayInstruction);
  };

  return (command) => {
    const { words, options } = parseCommand(command);
    const [first = "", ...rest] = words;
    const timed = first.startsWith("@");
    if (timed) nowMs = Number(first.slice(1));
    const [verb = "", subject = "0", ...more] = timed ? rest : words;
    switch (verb) {
      case "world":
        state = createBarrierState({ epoch: Number(options.get("epoch") ?? 1), worldSize: Number(subject) });
        return [];
      case "waiting":
        return describeWaiting(state, nowMs);
      case "error":
        return lastFailure === undefined ? [] : sayError(lastFailure);
      case "state":
        return sayState(state);
      default:
        return eventsOf(verb, subject, more, options, { state, nowMs }).flatMap(play);
    }
  };
}

function eventsOf(
  verb: string,
  subject: string,
  more: readonly string[],
  options: Options,
  { state, nowMs }: { state: BarrierState; nowMs: number },
): BarrierEvent[] {
  const epoch = Number(options.get("epoch") ?? state.epoch);
  const incarnationOf = (rank: number) => Number(options.get("inc") ?? Math.max(1, state.members[rank]?.incarnation ?? 1));
  const senders = () => parseRanges(subject).map((rank) => ({ nowMs, epoch, rank, incarnation: incarnationOf(rank) }));
  const [text = ""] = more;
  switch (verb) {
    case "join":
      return senders().map((sender) => ({ type: "join", ...sender, place: placeOf(sender.rank) }));
    case "leave":
      return senders().map((sender) => ({ type: "leave", ...sender }));
    case "progress":
      return senders().map((sender) => ({ type: "progress", ...sender, phase: text }));
    case "lose":
      return parseRanges(subject).map((rank) => {
        return {
          type: "loss",
          nowMs,
          epoch,
          rank,
          incarnation: options.has("inc") ? incarnationOf(rank) : null,
          loss: text as LossKind,
          reason: more[1] ?? "",
        };
      });
    case "arrive":
      return senders().map((sender) => arrivalOf(sender, options));
    case "abort":
      return [
        {
          type: "abort",
          nowMs,
          epoch,
          rank: options.has("rank") ? Number(options.get("rank")) : null,
          error: { name: "Error", message: subject },
        },
      ];
    case "fail": {
      const generation = options.has("g") ? Number(options.get("g")) : null;
      return [{ type: "fail", nowMs, epoch, name: options.get("name") ?? "load", generation, error: { name: "Error", message: subject } }];
    }
    case "timer":
      return [{ type: "timer", nowMs }];
    case "reset":
      return [{ type: "reset", nowMs, epoch: Number(subject), worldSize: Number(options.get("world") ?? state.members.length) }];
    default:
      throw new Error(`unknown command ${verb}`);
  }
}

function arrivalOf(sender: { nowMs: number; epoch: number; rank: number; incarnation: number }, options: Options): BarrierEvent {
  const failure = options.get("fail");
  const only = options.get("only");
  const code = options.get("code");
  return {
    type: "arrive",
    ...sender,
    name: options.get("name") ?? "load",
    generation: Number(options.get("g") ?? 1),
    digest: options.get("digest") ?? "a",
    participants: only === undefined ? null : parseRanges(only),
    timeoutMs: Number(options.get("timeout") ?? 1000),
    outcome:
      failure === undefined
        ? { type: "ok" }
        : {
            type: "failed",
            error: { name: code === undefined ? "TypeError" : "StateDictError", message: failure, ...(code === undefined ? {} : { code }) },
          },
  };
}

/** Two ranks per node. */
function placeOf(rank: number) {
  const nodeRank = Math.floor(rank / 2);
  return { localRank: rank % 2, nodeRank, host: `host-${"abcdefgh"[nodeRank]}`, pid: 100 + rank };
}

function sayInstruction(instruction: BarrierInstruction): string {
  switch (instruction.type) {
    case "decide": {
      const { decision, waiting, busy } = instruction;
      return `decide ${sayDecision(decision)} -> waiting ${rankRanges(waiting)}; busy ${rankRanges(busy)}`;
    }
    case "reply":
      return `reply to ${instruction.rank}#${instruction.incarnation}: ${sayDecision(instruction.decision)}`;
    case "refuse": {
      const barrier = instruction.name === undefined ? "" : ` ${instruction.name}.${instruction.generation}`;
      return `refuse ${instruction.rank}#${instruction.incarnation}${barrier}: ${instruction.reason} (epoch ${instruction.epoch})`;
    }
    case "admit": {
      const generations = instruction.generations.map(([name, generation]) => `${name}.${generation}`).join(" ");
      return `admit ${instruction.rank}#${instruction.incarnation} to epoch ${instruction.epoch}${generations && `, goes on with ${generations}`}`;
    }
    case "fence":
      return `fence ${instruction.rank}#${instruction.incarnation}`;
    case "aborted":
      return `aborted ${sayCause(instruction.cause)} -> ${rankRanges(instruction.ranks)}`;
    case "setTimer":
      return `timer at ${instruction.dueMs}`;
    case "clearTimer":
      return "no timer";
    case "stop":
      return `stop, epoch ${instruction.epoch} exists`;
  }
}

function sayDecision(decision: BarrierDecision): string {
  const head = `${decision.name}.${decision.generation}`;
  if (decision.outcome === "pass") {
    return `${head} PASS (first ${decision.firstRank}, last ${decision.lastRank}, ${decision.decidedMs - decision.openedMs} ms)`;
  }
  const later = decision.later.length === 0 ? "" : `, later ${decision.later.map(sayCause).join(" and ")}`;
  return `${head} FAIL ${sayCause(decision.cause)}, missing ${rankRanges(decision.missing.ranks)}${later}`;
}

function sayCause(cause: FailureCause): string {
  switch (cause.kind) {
    case "timeout":
      return `timeout of ${rankRanges(cause.stalled.ranks)}`;
    case "loss":
      return `loss of ${rankRanges(cause.lost.ranks)}`;
    case "left":
      return `${rankRanges(cause.left.ranks)} left`;
    case "restart":
      return `restart of ${cause.member.rank} (#${cause.incarnation} -> #${cause.replacedBy})`;
    case "mismatch":
      return `${cause.about} differs: ${cause.first.member.rank} says ${cause.first.value}, ${cause.other.member.rank} says ${cause.other.value}`;
    case "failed":
      return `${cause.member?.rank ?? "the coordinator"} failed: ${cause.error.message}`;
    case "ahead":
      return `${cause.member.rank} is at ${cause.generation} instead of ${cause.expected}`;
    case "abort":
      return `abort by ${cause.member?.rank ?? "the coordinator"}: ${cause.error.message}`;
    case "reset":
      return `reset to epoch ${cause.epoch}`;
  }
}

function sayError(decision: FailDecision): string[] {
  const error = decisionError(decision);
  const { rootCause, missing } = error.details;
  return [`${error.name} ${error.code}: ${error.message}`, `missing ${JSON.stringify(missing)}`, `root cause ${JSON.stringify(rootCause)}`];
}

function sayState({ epoch, members, open, names, sequence, timerDueMs }: BarrierState): string[] {
  const counts = [...names].map(([name, { nextGeneration, decisions }]) => `${name}: next ${nextGeneration}, kept ${decisions.length}`);
  const statuses = members.map(({ rank, status, incarnation }) => `${rank}#${incarnation} ${status}`).join(", ");
  return [`epoch ${epoch}, ${sequence} decisions, ${open.size} open, timer ${timerDueMs ?? "off"}`, ...counts, statuses];
}
