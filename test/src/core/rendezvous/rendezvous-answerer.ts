/** The rendezvous as a partner in a transcript. */
import {
  createRendezvousState,
  describeNode,
  jobOutcomeError,
  type NodeAnnouncement,
  type NodeFailure,
  type NodeRefusal,
  nodeFailureError,
  nodeRefusalError,
  type RendezvousEvent,
  type RendezvousInstruction,
  type RendezvousState,
  rankRanges,
  stepRendezvous,
} from "@rankcast/core/internal";
import { type Answerer, parseCommand, parseRanges } from "../../support/transcript.ts";

type Options = ReadonlyMap<string, string>;

/** Understands `job`, `join`, `heard`, `ok`, `fail`, `lose`, `abort`, `timer` and `errors`; nodes are letters; `@100` sets the time. */
export function createRendezvousAnswerer(): Answerer {
  let state: RendezvousState = newJob("1", new Map());
  let nowMs = 0;
  let errors: string[] = [];
  return (command) => {
    const { words, options } = parseCommand(command);
    const [first = "", ...rest] = words;
    const timed = first.startsWith("@");
    if (timed) nowMs = Number(first.slice(1));
    const [verb = "", subject = ""] = timed ? rest : words;
    if (verb === "job") {
      state = newJob(subject, options);
      return [];
    }
    if (verb === "errors") return errors;
    return subject.split(",").flatMap((node) => {
      const step = stepRendezvous(state, eventOf(verb, node, options, state, nowMs));
      state = step.state;
      const said = step.instructions.flatMap(errorOf);
      if (said.length > 0) errors = said;
      return step.instructions.map(sayInstruction);
    });
  };
}

function newJob(nodeCount: string, options: Options): RendezvousState {
  const maxRestarts = Number(options.get("restarts") ?? 0);
  return createRendezvousState(
    {
      jobId: "j",
      protocol: 1,
      nodeCount: Number(nodeCount),
      maxRestarts,
      firstEpoch: 10,
      joinTimeoutMs: 1000,
      silenceMs: Number(options.get("silence") ?? 5000),
    },
    0,
  );
}

function eventOf(verb: string, node: string, options: Options, state: RendezvousState, nowMs: number): RendezvousEvent {
  const epoch = options.has("epoch") ? Number(options.get("epoch")) : null;
  switch (verb) {
    case "join":
      return { type: "join", nowMs, epoch, node: announce(node, options, state) };
    case "heard":
      return { type: "heard", nowMs, nodeId: node };
    case "ok":
      return { type: "report", nowMs, nodeId: node, epoch: epoch ?? state.epoch, outcome: { type: "succeeded" } };
    case "fail": {
      const error = { name: "Error", message: options.get("error") ?? "rank failed" };
      return { type: "report", nowMs, nodeId: node, epoch: epoch ?? state.epoch, outcome: { type: "failed", error } };
    }
    case "lose":
      return { type: "loss", nowMs, nodeId: node, reason: "connection closed" };
    case "abort":
      return {
        type: "abort",
        nowMs,
        nodeId: node === "" ? null : node,
        error: { name: "Error", message: options.get("error") ?? "SIGINT" },
      };
    case "timer":
      return { type: "timer", nowMs };
    default:
      throw new Error(`unknown command ${verb}`);
  }
}

function announce(node: string, options: Options, state: RendezvousState): NodeAnnouncement {
  const ranks = options.get("ranks");
  const nodeRank = options.get("rank");
  return {
    nodeId: node,
    jobId: options.get("job") ?? "j",
    protocol: Number(options.get("protocol") ?? 1),
    nodeCount: Number(options.get("nodes") ?? state.options.nodeCount),
    nodeRank: nodeRank === undefined ? null : Number(nodeRank),
    host: options.get("host") ?? `host-${node}`,
    pid: node.charCodeAt(0),
    address: `${node}:1`,
    localWorldSize: Number(options.get("local") ?? (ranks === undefined ? 2 : parseRanges(ranks).length)),
    ranks: ranks === undefined ? null : parseRanges(ranks),
  };
}

function sayInstruction(instruction: RendezvousInstruction): string {
  switch (instruction.type) {
    case "wait":
      return `${instruction.nodeId} waits: ${instruction.joined} of ${instruction.nodeCount} for epoch ${instruction.epoch}`;
    case "refuse":
      return `refuse ${instruction.nodeId}: ${sayRefusal(instruction.refusal)}`;
    case "start": {
      const { nodes, epoch } = instruction.membership;
      return `start epoch ${epoch} on ${instruction.nodeIds.join()}: ${nodes.map(({ nodeId, ranks }) => `${nodeId} has ${rankRanges(ranks)}`).join("; ")}`;
    }
    case "restart":
      return `restart ${instruction.nodeIds.join()} for epoch ${instruction.epoch}: ${sayFailure(instruction.cause)}`;
    case "end":
      return `end ${instruction.nodeIds.join()}: ${instruction.outcome.type === "success" ? "success" : sayFailure(instruction.outcome.cause)}`;
    case "drop":
      return `drop ${instruction.nodeId}`;
    case "setTimer":
      return `timer at ${instruction.dueMs}`;
    case "clearTimer":
      return "no timer";
  }
}

function sayRefusal(refusal: NodeRefusal): string {
  if (refusal.kind === "duplicate") return `node rank ${refusal.nodeRank} belongs to ${describeNode(refusal.holder)}`;
  return refusal.kind === "malformed" ? `malformed ${refusal.field}` : refusal.kind;
}

function sayFailure(failure: NodeFailure): string {
  switch (failure.kind) {
    case "timeout":
      return `timeout, missing ${failure.missing.map(({ nodeRank, last }) => `${nodeRank ?? "?"}${last === null ? "" : ` (${last.host})`}`).join()}`;
    case "failed":
      return `${describeNode(failure.node)} failed: ${failure.error.message}`;
    case "loss":
      return `${describeNode(failure.node)} lost: ${failure.reason}`;
    case "topology":
      return failure.error.message;
    case "abort":
      return `abort by ${failure.node === null ? "the head" : describeNode(failure.node)}: ${failure.error.message}`;
  }
}

function errorOf(instruction: RendezvousInstruction): string[] {
  const error =
    instruction.type === "refuse"
      ? nodeRefusalError(instruction.refusal)
      : instruction.type === "restart"
        ? nodeFailureError(instruction.cause)
        : instruction.type === "end"
          ? jobOutcomeError(instruction.outcome)
          : undefined;
  return error === undefined ? [] : [`${error.name} ${error.code} (${error.class}): ${error.message}`];
}
