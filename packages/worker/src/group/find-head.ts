/** Where the head node of a job is, from what its launcher tells; and how the job is called. */
import { createHash } from "node:crypto";
import { UsageError } from "@rankcast/core";
import type { DetectedRank, ProcessVariables } from "@rankcast/core/runtime";
import { quote } from "@rankcast/core/runtime";

/** A host and a port of ours on it. */
export interface HeadEndpoint {
  readonly host: string;
  readonly port: number;
}

/** Ports that follow from a job's id: below the range from which kernels give ports out, above what usually listens. */
const PORT_BEGIN = 20_000;
const PORT_COUNT = 9000;

/**
 * `RANKCAST_RDZV_ENDPOINT`, else the launcher's idea of the head's host with a port of ours: `RANKCAST_RDZV_PORT`, or one that follows from the
 * job's id. Never MASTER_PORT: torch's own store, or torchrun's agent, listens there. Null when the launcher tells no host.
 * @throws {UsageError} RANKCAST_USAGE when a variable is no address or port.
 */
export function findHead({ head }: DetectedRank, jobId: string, variables: ProcessVariables): HeadEndpoint | null {
  const port = portOf(variables["RANKCAST_RDZV_PORT"] || undefined, "RANKCAST_RDZV_PORT") ?? derivedPort(jobId);
  const text = variables["RANKCAST_RDZV_ENDPOINT"];
  if (!text) return head && { host: head.host, port };
  const match = /^(?:\[([^\]\s]+)\]|([^\s:[\]/]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined) throw refusal("RANKCAST_RDZV_ENDPOINT", "HOST or HOST:PORT", text);
  return { host, port: portOf(match?.[3], "RANKCAST_RDZV_ENDPOINT") ?? port };
}

/** An id that all nodes know and other jobs do not: the launcher's, or what they have in common. */
export function jobIdOf(detected: DetectedRank, variables: ProcessVariables): string {
  const { jobId, head } = detected;
  return (
    jobId ??
    (variables["RANKCAST_JOB_ID"] || variables["RANKCAST_RDZV_ENDPOINT"] || (head ? `${head.host} ${head.port ?? ""}`.trim() : "job"))
  );
}

function derivedPort(jobId: string): number {
  return PORT_BEGIN + (createHash("sha256").update(jobId).digest().readUInt32LE(0) % PORT_COUNT);
}

function portOf(text: string | undefined, variable: string): number | null {
  if (text === undefined) return null;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) throw refusal(variable, "a port", text);
  return port;
}

function refusal(variable: string, expected: string, found: string): UsageError {
  return new UsageError("RANKCAST_USAGE", `${variable}: expected ${expected}, found ${quote(found)}`, { details: { variable } });
}
