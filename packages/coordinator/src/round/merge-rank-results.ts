/** What the ranks said at the last barrier of a round, as one report. */
import type { BroadcastReport, LoadReportFields, ReplicaReport } from "@rankcast/core";
import { addReadStats } from "@rankcast/core/runtime";
import type { FetchedWeights } from "../fetch/fetch-weights.ts";
import type { Hello } from "../grpc/coordination-server.ts";
import type { NodeFacts } from "./other-nodes.ts";

/** What one rank brings to the last barrier. */
export interface RankResult {
  readonly replicas: readonly ReplicaReport[];
  readonly memory: {
    readonly before: { readonly pssBytes: number | null };
    readonly after: { readonly pssBytes: number | null; readonly peakRssBytes: number };
  };
  /** How the rank reached the bytes. */
  readonly attached: "mapped" | "read";
  /** What the rank's key rules are probably not meant to say. */
  readonly warnings: readonly string[];
  /** Growth of its node's coordinator, brought along by one rank of each other node. */
  readonly nodePssBytes?: number | null;
}

/** What the coordinator adds. */
export interface RoundFacts {
  readonly weights: string;
  readonly fetched: FetchedWeights;
  readonly generation: number;
  readonly startMs: number;
  readonly totalMs: number;
  readonly loadMs: number;
  /** Checking what is mapped and making casts, beside whatever ranks do. */
  readonly verifyMs: number;
  /** Copying while files arrived, of the slowest rank. */
  readonly aheadMs: number;
  /** Growth of the coordinator's own process; 0 when it is a thread of a rank, which counts it. */
  readonly coordinatorPssBytes: number | null;
  readonly members: ReadonlyMap<number, Hello>;
  readonly nodeCount: number;
  readonly otherNodes: readonly NodeFacts[];
  /** From the offer until the last of the other nodes had everything. */
  readonly castMs: number;
  readonly broadcast: BroadcastReport | null;
}

/** The job's report. Ranks in order. */
export function mergeRankResults(results: ReadonlyMap<number, RankResult>, facts: RoundFacts): LoadReportFields {
  const { fetched, members, totalMs, loadMs } = facts;
  const ordered = [...results].sort(([a], [b]) => a - b);
  const allRead = ordered.length > 0 && ordered.every(([, result]) => result.attached === "read");
  const segments = [...fetched.placed.segments, ...(fetched.placed.casts?.segments ?? [])].map(({ kind, nbytes }) => ({
    kind: allRead ? ("shared" as const) : kind,
    bytes: nbytes,
  }));
  const { resolveMs, fetchMs, decodeMs, broadcastMs } = fetched.timings;
  return {
    weights: fetched.name || facts.weights,
    format: fetched.manifest.format,
    generation: facts.generation,
    ...(fetched.sha256 === null ? {} : { sha256: fetched.sha256 }),
    ...(fetched.manifest.selected === "" ? {} : { selected: fetched.manifest.selected }),
    bytes: fetched.bytes,
    worldSize: members.size,
    nodes: facts.nodeCount,
    origin: facts.otherNodes.reduce((sum, { origin }) => addReadStats(sum, origin), { ...fetched.origin() }),
    segments,
    ranks: ordered.map(([rank, result]) => {
      const hello = members.get(rank);
      const { localRank = 0, nodeRank = 0, host = "", pid = 0 } = hello ?? {};
      return { rank, localRank, nodeRank, host, pid, replicas: result.replicas };
    }),
    timings: {
      startMs: facts.startMs,
      resolveMs,
      fetchMs,
      decodeMs,
      broadcastMs: broadcastMs + facts.castMs,
      verifyMs: facts.verifyMs,
      ...(facts.aheadMs > 0 ? { aheadMs: facts.aheadMs } : {}),
      loadMs,
      barrierMs: Math.max(0, totalMs - loadMs),
      totalMs,
    },
    ...(fetched.placed.version === undefined ? {} : { version: fetched.placed.version }),
    ...(facts.broadcast ? { broadcast: facts.broadcast } : {}),
    memory: {
      pssBytes: sumOrNull([
        facts.coordinatorPssBytes,
        ...ordered.map(([, { memory }]) => differenceOrNull(memory.after.pssBytes, memory.before.pssBytes)),
        ...ordered.map(([, { nodePssBytes = 0 }]) => nodePssBytes),
      ]),
      peakRssBytes: Object.fromEntries(ordered.map(([rank, { memory }]) => [String(rank), memory.after.peakRssBytes])),
      sharedBytes:
        segments.reduce((sum, segment) => sum + segment.bytes, 0) + facts.otherNodes.reduce((sum, { sharedBytes }) => sum + sharedBytes, 0),
    },
    warnings: [...fetched.manifest.warnings, ...keyRuleWarnings(ordered.flatMap(([, result]) => result.warnings))],
  };
}

function differenceOrNull(after: number | null, before: number | null): number | null {
  return after === null || before === null ? null : after - before;
}

function sumOrNull(values: readonly (number | null)[]): number | null {
  return values.reduce<number | null>((sum, value) => (sum === null || value === null ? null : sum + value), 0);
}

/** Ranks that share rules warn alike: each text once. */
function keyRuleWarnings(texts: readonly string[]): { code: string; message: string }[] {
  return [...new Set(texts)].map((message) => ({ code: "rev-keys", message }));
}
