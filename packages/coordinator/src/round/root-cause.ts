/** Which rank failed first, written into the error that every rank gets. */
import { CheckpointError, DistributionError } from "@rankcast/core";
import { type ErrorRecord, fromErrorRecord, type MemberPlace, toErrorRecord } from "@rankcast/core/runtime";
import type { Hello, WireError } from "../grpc/coordination-server.ts";

/** Where a rank runs, for blame. */
export function placeOf({ localRank, nodeRank, host, pid }: Hello): MemberPlace {
  return { localRank, nodeRank, host, pid };
}

/** A record as it crosses the wire. */
export function toWireError(record: ErrorRecord): WireError {
  return { code: record.code ?? "", message: record.message, record };
}

/** The error of a wire record. */
export function fromWireError(wire: WireError): Error {
  return wire.record === undefined ? new Error(wire.message) : fromErrorRecord(wire.record as ErrorRecord);
}

/**
 * `error` as a record whose details name the rank it belongs to. Class, code, message and cause stay those of the first failure, because
 * programs switch on them; an error that already has a root cause keeps it.
 */
export function withRootCause(error: unknown, rank: number, place: MemberPlace | null): ErrorRecord {
  const record = toErrorRecord(error);
  if (record.details?.["rootCause"] !== undefined) return record;
  const { nodeRank = 0, localRank = 0, host = "", pid = 0 } = place ?? {};
  const rootCause = { rank, nodeRank, localRank, host, pid, code: record.code ?? record.name, message: record.message };
  const details = { ...record.details, rootCause };
  if (error instanceof CheckpointError) return { ...record, details };
  // A foreign error (a TypeError of user code) becomes ours, with itself as cause, so that every rejection has a code and a class.
  return {
    name: "DistributionError",
    code: "RANKCAST_RANK_ABORTED",
    message: record.message,
    remedy: "Correct the error on that rank.",
    details,
    cause: record,
  };
}

/** The error of a rank that said it cannot go on. */
export function abortedRank(error: Error, hello: Hello): ErrorRecord {
  const record = withRootCause(error, hello.rank, placeOf(hello));
  return { ...record, message: `rank ${hello.rank} (node ${hello.nodeRank}, ${hello.host}, pid ${hello.pid}): ${record.message}` };
}

/** The error of a rank whose connection closed without goodbye; `reason` is read behind its name. */
export function lostRank(hello: Hello, reason?: string): ErrorRecord {
  const { rank, nodeRank, host, pid } = hello;
  const error = new DistributionError(
    "RANKCAST_RANK_LOST",
    `rank ${rank} (node ${nodeRank}, ${host}, pid ${pid}) ${reason ?? "ended"} while others depended on it`,
    reason === undefined ? {} : { details: { reason } },
  );
  return withRootCause(error, rank, placeOf(hello));
}
