/** Joining partial reports of nodes and ranks into one. Associative and commutative, so the order of arrival does not matter. */
import type { Warning } from "../manifest/checkpoint-tree.ts";
import {
  LoadReport,
  type LoadReportFields,
  type OriginReport,
  type RankReport,
  type SegmentReport,
  type TimingReport,
} from "./load-report.ts";
import type { ReplicaReport } from "./replica-report.ts";

/**
 * One report of two halves of a job. What was done is added up (origin, segments, memory), phases take the longest side because nodes
 * work at the same time, ranks and replicas are united by their numbers, warnings by their text.
 */
export function mergeReports(a: LoadReportFields, b: LoadReportFields): LoadReport {
  const sha256 = a.sha256 === undefined || b.sha256 === undefined ? (a.sha256 ?? b.sha256) : smaller(a.sha256, b.sha256);
  const selected = a.selected === undefined || b.selected === undefined ? (a.selected ?? b.selected) : smaller(a.selected, b.selected);
  return new LoadReport({
    weights: preferFilled(a.weights, b.weights),
    format: preferFilled(a.format, b.format),
    generation: Math.max(a.generation, b.generation),
    ...(sha256 === undefined ? {} : { sha256 }),
    ...(selected === undefined ? {} : { selected }),
    bytes: Math.max(a.bytes, b.bytes),
    worldSize: Math.max(a.worldSize, b.worldSize),
    nodes: Math.max(a.nodes, b.nodes),
    origin: addFields<OriginReport>(a.origin, b.origin),
    segments: [...a.segments, ...b.segments].sort(bySegment),
    ranks: mergeRanks(a.ranks, b.ranks),
    timings: maxFields<TimingReport>(a.timings, b.timings),
    memory: {
      // Half a sum would look like a small one: not known on one side means not known.
      pssBytes: a.memory.pssBytes === null || b.memory.pssBytes === null ? null : a.memory.pssBytes + b.memory.pssBytes,
      peakRssBytes: maxByRank(a.memory.peakRssBytes, b.memory.peakRssBytes),
      sharedBytes: a.memory.sharedBytes + b.memory.sharedBytes,
    },
    warnings: mergeWarnings(a.warnings, b.warnings),
  });
}

function smaller(a: string, b: string): string {
  return a < b ? a : b;
}

function preferFilled(a: string, b: string): string {
  return a === "" || b === "" ? a || b : smaller(a, b);
}

function addFields<T extends { readonly [name in keyof T]: number }>(a: T, b: T): T {
  return combine(a, b, (left, right) => left + right);
}

function maxFields<T extends { readonly [name in keyof T]: number }>(a: T, b: T): T {
  return combine(a, b, Math.max);
}

function combine<T extends { readonly [name in keyof T]: number }>(a: T, b: T, join: (left: number, right: number) => number): T {
  return Object.fromEntries(Object.keys(a).map((name) => [name, join(a[name as keyof T], b[name as keyof T])])) as T;
}

function bySegment(a: SegmentReport, b: SegmentReport): number {
  return a.kind < b.kind ? -1 : a.kind > b.kind ? 1 : a.bytes - b.bytes;
}

function maxByRank(a: Readonly<Record<string, number>>, b: Readonly<Record<string, number>>): Record<string, number> {
  const ranks = [...new Set([...Object.keys(a), ...Object.keys(b)])].sort((left, right) => Number(left) - Number(right));
  return Object.fromEntries(ranks.map((rank) => [rank, Math.max(a[rank] ?? 0, b[rank] ?? 0)]));
}

function mergeRanks(a: readonly RankReport[], b: readonly RankReport[]): RankReport[] {
  const byRank = new Map<number, RankReport>();
  for (const rank of [...a, ...b]) {
    const known = byRank.get(rank.rank);
    byRank.set(rank.rank, known ? { ...pick(known, rank), replicas: mergeReplicas(known.replicas, rank.replicas) } : rank);
  }
  return [...byRank.values()].sort((left, right) => left.rank - right.rank);
}

/** Two descriptions of one rank should be equal; if not, the choice must not depend on the order. */
function pick(a: RankReport, b: RankReport): RankReport {
  const text = ({ replicas: _, ...rest }: RankReport): string => JSON.stringify(rest);
  return text(a) <= text(b) ? a : b;
}

function mergeReplicas(a: readonly ReplicaReport[], b: readonly ReplicaReport[]): ReplicaReport[] {
  const byIndex = new Map<number, ReplicaReport>();
  for (const replica of [...a, ...b]) {
    const known = byIndex.get(replica.index);
    if (known === undefined || JSON.stringify(replica) < JSON.stringify(known)) byIndex.set(replica.index, replica);
  }
  return [...byIndex.values()].sort((left, right) => left.index - right.index);
}

function mergeWarnings(a: readonly Warning[], b: readonly Warning[]): Warning[] {
  const byText = new Map([...a, ...b].map((warning) => [JSON.stringify([warning.code, warning.message]), warning]));
  return [...byText].sort(([left], [right]) => (left < right ? -1 : 1)).map(([, warning]) => warning);
}
