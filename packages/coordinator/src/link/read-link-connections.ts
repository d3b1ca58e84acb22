/** How many connections a link between nodes has, where somebody says so. */
import { compileLimits, UsageError } from "@rankcast/core";
import { type ProcessVariables, quote } from "@rankcast/core/runtime";

/**
 * `RANKCAST_LINK_CONNECTIONS`; null: to be planned. What node 0 says counts for the job.
 * @throws {UsageError} RANKCAST_USAGE when it is no number from 1 to the limit `broadcastConnections`.
 */
export function readLinkConnections(variables: ProcessVariables): number | null {
  const text = variables["RANKCAST_LINK_CONNECTIONS"] ?? "";
  if (text === "") return null;
  const most = compileLimits().broadcastConnections;
  const value = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (value >= 1 && value <= most) return value;
  const expected = `a whole number from 1 to ${most}`;
  throw new UsageError("RANKCAST_USAGE", `RANKCAST_LINK_CONNECTIONS: expected ${expected}, found ${quote(text)}`, {
    details: { option: "RANKCAST_LINK_CONNECTIONS", expected, found: text },
  });
}
