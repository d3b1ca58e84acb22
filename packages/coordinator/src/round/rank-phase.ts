/** What a rank does next, from what it said or was told: it need not send a message to say so. */
import type { Arrive, CoordinatorMessage } from "../grpc/coordination-server.ts";

const ARRIVED: ReadonlyMap<string, string> = new Map([
  ["round/begin", "waiting for weights"],
  ["round/prepared", "prepared"],
  ["round/committed", "loaded"],
]);

/** The phase that a message begins for the rank that sends it, or for every rank that is told; null when it begins none. */
export function phaseAfter(message: Arrive | CoordinatorMessage): string | null {
  switch (message.type) {
    case "arrive":
      return ARRIVED.get(message.barrier) ?? null;
    case "published":
      return "preparing";
    case "decision":
      return message.passed && message.barrier === "round/prepared" ? "loading" : null;
    default:
      return null;
  }
}
