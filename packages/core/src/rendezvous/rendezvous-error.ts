/** Outcomes of a rendezvous as errors. */
import { CheckpointError, DistributionError, type ErrorDetail, type ErrorDetails, UsageError } from "../errors/checkpoint-error.ts";
import { fromErrorRecord } from "../errors/error-record.ts";
import { printable, quote } from "../errors/quote.ts";
import { rankRanges } from "../topology/rank-ranges.ts";
import type { NodeRefusal } from "./rendezvous-instruction.ts";
import type { JobOutcome, MissingNode, NodeFailure, NodePlace } from "./rendezvous-state.ts";

/** Nodes named in full in one message. */
const NAMED_MAX = 16;

/** The error of a node that may not take part. */
export function nodeRefusalError(refusal: NodeRefusal): CheckpointError {
  const details: ErrorDetails = { refusal: refusal.kind };
  switch (refusal.kind) {
    case "wrong-job": {
      const text = `another job is at this address: expected job ${quote(refusal.expected)}, found ${quote(refusal.found)}`;
      return new DistributionError("RANKCAST_WRONG_JOB", text, { details });
    }
    case "wrong-protocol": {
      const text = `the head node speaks version ${refusal.expected} of the protocol, this node version ${refusal.found}`;
      return new DistributionError("RANKCAST_PROTOCOL", text, { details });
    }
    case "wrong-node-count": {
      const text = `the head node expects ${refusal.expected} nodes, this node was started for ${refusal.found}`;
      return new UsageError("RANKCAST_NODE_COUNT", text, { details: { ...details, expected: refusal.expected, found: refusal.found } });
    }
    case "wrong-world-size": {
      const text = `the head node expects ${refusal.expected} ranks, this node was started for ${refusal.found}`;
      return new UsageError("RANKCAST_NODE_COUNT", text, { details: { ...details, expected: refusal.expected, found: refusal.found } });
    }
    case "node-rank":
      return new UsageError("RANKCAST_NODE_COUNT", `node rank ${refusal.nodeRank} is not below the number of nodes, ${refusal.nodeCount}`, {
        details,
      });
    case "duplicate": {
      const text = `node rank ${refusal.nodeRank} is taken by ${describeNode(refusal.holder)}`;
      return new DistributionError("RANKCAST_DUPLICATE_NODE", text, { details: { ...details, ...refusal.holder } });
    }
    case "full":
      return new DistributionError("RANKCAST_JOB_FULL", `all ${refusal.nodeCount ?? ""} nodes of the job are there already`, { details });
    case "malformed":
      return new DistributionError("RANKCAST_PROTOCOL", `the announcement of this node is malformed: ${refusal.field}`, { details });
    case "ended":
      return refusal.outcome.type === "failure"
        ? nodeFailureError(refusal.outcome.cause)
        : new DistributionError("RANKCAST_JOB_FULL", "the job has already ended with success", { details });
  }
}

/** The error of a job, or undefined after success. */
export function jobOutcomeError(outcome: JobOutcome): CheckpointError | undefined {
  if (outcome.type === "success") return undefined;
  const { cause, later, restarts } = outcome;
  const error = nodeFailureError(cause);
  if (later.length === 0 && restarts === 0) return error;
  const others = later.map((each) => nodeFailureError(each).message);
  return rebuilt(error, error.message, { ...error.details, restarts, later: others });
}

/** The error of an epoch that failed: a node's own error keeps its class and code, `details.rootCause` says where it was. */
export function nodeFailureError(failure: NodeFailure): CheckpointError {
  switch (failure.kind) {
    case "timeout": {
      const { missing, joined, joinTimeoutMs } = failure;
      const { missingRanks } = failure;
      const text =
        missingRanks === undefined
          ? `${missing.length} of ${missing.length + joined.length} nodes did not join within ${joinTimeoutMs / 1000} s: ${nameMissing(missing)}`
          : `the nodes of ranks ${rankRanges(missingRanks)} did not join within ${joinTimeoutMs / 1000} s`;
      const there = joined.slice(0, NAMED_MAX).map(describeNode).join(", ") || "none";
      const details = {
        missing: missing.map(({ nodeRank, last }) => ({ nodeRank, host: last?.host ?? null })),
        ...(missingRanks === undefined ? {} : { missingRanks: [...missingRanks] }),
        joined: joined.map(detailOf),
      };
      return new DistributionError("RANKCAST_NODES_MISSING", `${text} (there are: ${there})`, { details });
    }
    case "loss": {
      const text = `lost ${describeNode(failure.node)}: ${printable(failure.reason)}`;
      return new DistributionError("RANKCAST_NODE_LOST", text, {
        details: { rootCause: causeOf(failure.node, "RANKCAST_NODE_LOST", text) },
      });
    }
    case "topology": {
      const error = fromErrorRecord(failure.error);
      return error instanceof CheckpointError ? error : new DistributionError("RANKCAST_TOPOLOGY", error.message, { cause: error });
    }
    case "failed":
    case "abort": {
      const own = fromErrorRecord(failure.error);
      const where = failure.node === null ? "" : `${describeNode(failure.node)}: `;
      if (!(own instanceof CheckpointError)) {
        const text = `${where}${own.name}: ${own.message}`;
        const details = { rootCause: causeOf(failure.node, "RANKCAST_RANK_FAILED", text) };
        return new DistributionError("RANKCAST_RANK_FAILED", text, { details, cause: own });
      }
      // An error that names its rank needs no other address.
      if (own.details["rootCause"] !== undefined) return own;
      return rebuilt(own, where + own.message, { ...own.details, rootCause: causeOf(failure.node, own.code, own.message) });
    }
  }
}

/** A node for people: `node 3 (host-b, pid 4242)`. */
export function describeNode({ nodeRank, host, pid }: NodePlace): string {
  return `node ${nodeRank ?? "?"} (${printable(host)}, pid ${pid})`;
}

function nameMissing(missing: readonly MissingNode[]): string {
  const ranks = missing.flatMap(({ nodeRank }) => nodeRank ?? []);
  if (ranks.length < missing.length) return "which ones is not known, as node ranks are given out at the end";
  const known = missing.flatMap(({ last }) => last ?? []).slice(0, NAMED_MAX);
  const before = known.length === 0 ? "" : `, before the restart ${known.map(describeNode).join(", ")}`;
  return `node rank${ranks.length === 1 ? "" : "s"} ${rankRanges(ranks)}${before}`;
}

function rebuilt(error: CheckpointError, message: string, details: ErrorDetails): CheckpointError {
  const Class = error.constructor as typeof CheckpointError;
  return new Class(error.code, message, { details, remedy: error.remedy, ...(error.cause === undefined ? {} : { cause: error.cause }) });
}

function causeOf(node: NodePlace | null, code: string, message: string): ErrorDetail {
  return { rank: null, nodeRank: node?.nodeRank ?? null, host: node?.host ?? null, pid: node?.pid ?? null, code, message };
}

function detailOf({ nodeRank, host, pid }: NodePlace): ErrorDetail {
  return { nodeRank, host, pid };
}
