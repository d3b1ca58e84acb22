/** The supervisor as a partner in a transcript. */

import type { RankFailure } from "@rankcast/coordinator";
import {
  createSupervisorState,
  type LaunchOutcome,
  rootFailure,
  type SupervisorEvent,
  type SupervisorInstruction,
  type SupervisorState,
  stepSupervisor,
} from "@rankcast/coordinator/internal";
import { type Answerer, parseCommand } from "../../support/transcript.ts";

/** Understands `ranks`, `exit`, `stop`, `interrupt`, `cancel` and `timer`; `@100` sets the time. */
export function createSupervisorAnswerer(): Answerer {
  let state: SupervisorState = createSupervisorState({ processCount: 1, maxRestarts: 0, graceMs: 100 });
  let nowMs = 0;
  return (command) => {
    const { words, options } = parseCommand(command);
    const [first = "", ...rest] = words;
    const timed = first.startsWith("@");
    if (timed) nowMs = Number(first.slice(1));
    const [verb, subject = "0", code = "0"] = timed ? rest : words;
    if (verb === "ranks") {
      const maxRestarts = Number(options.get("restarts") ?? 0);
      state = createSupervisorState({ processCount: Number(subject), maxRestarts, graceMs: Number(options.get("grace") ?? 100) });
      return [];
    }
    const step = stepSupervisor(state, eventOf(verb ?? "", subject, code, options, nowMs));
    state = step.state;
    return step.instructions.map(sayInstruction);
  };
}

function eventOf(verb: string, subject: string, code: string, options: ReadonlyMap<string, string>, nowMs: number): SupervisorEvent {
  switch (verb) {
    case "exit":
      return {
        type: "exited",
        nowMs,
        localRank: Number(subject),
        failure: code === "0" ? null : failureOf(Number(subject), Number(code), options, nowMs),
      };
    case "stop":
      return { type: "stop", nowMs, error: new Error(subject) };
    case "interrupt":
      return { type: "interrupt", nowMs, signal: subject as NodeJS.Signals, by: "signal" };
    case "cancel":
      return { type: "interrupt", nowMs, signal: "SIGTERM", by: "caller" };
    case "timer":
      return { type: "timer", nowMs };
    default:
      throw new Error(`unknown command ${verb}`);
  }
}

function failureOf(rank: number, exitCode: number, options: ReadonlyMap<string, string>, nowMs: number): RankFailure {
  const blames = options.get("blames");
  return {
    ...{
      rank,
      localRank: rank,
      nodeRank: 0,
      host: "h",
      pid: 100 + rank,
      exitCode,
      signal: null,
      failedUnixMs: 0,
      errorFile: null,
      message: "",
      error: null,
    },
    failedMs: Number(options.get("failed") ?? nowMs),
    blames: blames === undefined ? null : Number(blames),
  };
}

function sayInstruction(instruction: SupervisorInstruction): string {
  switch (instruction.type) {
    case "signal":
      return `${instruction.signal} to ${instruction.localRanks.join(",")}`;
    case "setTimer":
      return `timer at ${instruction.dueMs}`;
    case "start":
      return `start attempt ${instruction.attempt} because of rank ${instruction.cause?.rank ?? "none"}`;
    case "finish":
      return `finish: ${sayOutcome(instruction.outcome)}`;
  }
}

function sayOutcome(outcome: LaunchOutcome): string {
  switch (outcome.type) {
    case "success":
      return "success";
    case "interrupted":
      return `interrupted by ${outcome.by === "caller" ? "the caller" : outcome.signal}`;
    case "failure": {
      const failed = outcome.failures.map(({ rank }) => rank).join(",") || "none";
      return `failure of ${failed}, root ${rootFailure(outcome.failures)?.rank ?? outcome.error?.message}`;
    }
  }
}
