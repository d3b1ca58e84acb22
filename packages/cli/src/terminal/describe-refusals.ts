/** Who was turned away at a job's port, as a line for people. */
import type { CoordinatorEvent } from "@rankcast/coordinator/launcher";

type RefusedEvent = Extract<CoordinatorEvent, { readonly type: "refused" }>;

const WORDS: { readonly [reason in RefusedEvent["refusals"][number]["reason"]]: string } = {
  protocol: "spoke another protocol",
  token: "had another token",
  job: "belonged to another job",
  unprotected: "encrypted where this job does not, or the other way round",
  tls: "failed in TLS, as with another token or certificate",
  silence: "said nothing in time",
  flood: "gave way to newer ones",
  connections: "came above the bound on connections",
};

/** `turned away at the port for other nodes: 2 connections had another token (last from 10.0.0.7:51234)`. */
export function describeRefusals({ refusals }: RefusedEvent): string {
  const parts = refusals.map(({ reason, address, count }) =>
    count === 1 ? `1 connection ${WORDS[reason]} (from ${address})` : `${count} connections ${WORDS[reason]} (last from ${address})`,
  );
  return `turned away at the port for other nodes: ${parts.join("; ")}`;
}
