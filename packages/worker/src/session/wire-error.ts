/** Errors as they cross the wire between a rank and its coordinator. */
import { DistributionError } from "@rankcast/core";
import { type ErrorRecord, fromErrorRecord, toErrorRecord } from "@rankcast/core/runtime";
import type { WireError } from "../grpc/coordinator-channel.ts";

/** An error as it crosses the wire. */
export function toWireError(error: unknown): WireError {
  const record = toErrorRecord(error);
  return { code: record.code ?? "", message: record.message, record };
}

/** The error of a wire record; its class, code, fields and causes are those of the rank it comes from. */
export function fromWireError(wire: WireError | undefined): Error {
  const record = wire?.record as ErrorRecord | undefined;
  return record
    ? fromErrorRecord(record)
    : new DistributionError("RANKCAST_RANK_ABORTED", wire?.message ?? "the coordinator gave no cause");
}
