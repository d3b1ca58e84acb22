/** The shape that users of `load --json` rely on. Fields may be added; a missing, renamed or retyped one is a break of the contract. */
import { expect } from "chai";

/** The part of a load report that tests look into. */
export interface ReportDocument {
  readonly weights: string;
  readonly format: string;
  readonly generation: number;
  readonly sha256?: string;
  readonly bytes: number;
  readonly worldSize: number;
  readonly nodes: number;
  readonly origin: Readonly<Record<"requests" | "bytesNeeded" | "bytesRead" | "retries" | "cacheHits", number>>;
  readonly segments: readonly { readonly kind: string; readonly bytes: number }[];
  readonly ranks: readonly RankDocument[];
  readonly timings: Readonly<Record<string, number>>;
  readonly memory: {
    readonly pssBytes: number | null;
    readonly peakRssBytes: Readonly<Record<string, number>>;
    readonly sharedBytes: number;
  };
  readonly warnings: readonly { readonly code: string; readonly message: string }[];
}

/** One rank of the report. */
export interface RankDocument {
  readonly rank: number;
  readonly localRank: number;
  readonly nodeRank: number;
  readonly host: string;
  readonly pid: number;
  readonly replicas: readonly ReplicaDocument[];
}

/** One replica of the report. */
export interface ReplicaDocument {
  readonly index: number;
  readonly matched: number;
  readonly missing: readonly string[];
  readonly unexpected: readonly string[];
  readonly mismatched: readonly { readonly key: string }[];
  readonly casts: readonly unknown[];
  readonly renamed: number;
  readonly ignored: number;
  readonly adopted: number;
  readonly copied: number;
  readonly digest?: string;
}

const TIMINGS = ["startMs", "resolveMs", "fetchMs", "decodeMs", "broadcastMs", "verifyMs", "loadMs", "barrierMs", "totalMs"];
const SHA256 = /^[0-9a-f]{64}$/;

/** Parses stdout as the one JSON document it must be, and checks every field of the contract. */
export function expectReport(stdout: string): ReportDocument {
  const report = JSON.parse(stdout) as ReportDocument;
  expect(report, "report").to.include.all.keys(
    ...["weights", "format", "generation", "bytes", "worldSize", "nodes", "origin", "segments", "ranks", "timings", "memory", "warnings"],
  );
  expect(report.weights).to.be.a("string");
  expect(report.format).to.be.a("string");
  for (const count of [report.generation, report.bytes, report.worldSize, report.nodes]) expectCount(count, "a count of the report");
  if (report.sha256 !== undefined) expect(report.sha256).to.match(SHA256);
  for (const name of ["requests", "bytesNeeded", "bytesRead", "retries", "cacheHits"] as const) {
    expectCount(report.origin[name], `origin.${name}`);
  }
  for (const segment of report.segments) {
    expect(segment.kind).to.be.oneOf(["file", "memfd", "shared"]);
    expectCount(segment.bytes, "segment.bytes");
  }
  expect(report.ranks.map(({ rank }) => rank)).to.deep.equal(Array.from({ length: report.worldSize }, (_, rank) => rank));
  for (const rank of report.ranks) expectRank(rank);
  for (const name of TIMINGS) expect(report.timings[name], `timings.${name}`).to.be.a("number").and.to.be.at.least(0);
  if (report.memory.pssBytes !== null) expect(report.memory.pssBytes).to.be.a("number");
  expect(Object.keys(report.memory.peakRssBytes)).to.deep.equal(report.ranks.map(({ rank }) => String(rank)));
  expectCount(report.memory.sharedBytes, "memory.sharedBytes");
  expect(report.warnings).to.be.an("array");
  return report;
}

function expectRank(rank: RankDocument): void {
  for (const count of [rank.localRank, rank.nodeRank, rank.pid]) expectCount(count, `a number of rank ${rank.rank}`);
  expect(rank.host).to.be.a("string").and.not.to.equal("");
  rank.replicas.forEach((replica, position) => {
    expect(replica.index).to.equal(position);
    for (const name of ["matched", "renamed", "ignored", "adopted", "copied"] as const) {
      expectCount(replica[name], `replica.${name}`);
    }
    for (const name of ["missing", "unexpected", "mismatched", "casts"] as const) expect(replica[name], name).to.be.an("array");
    if (replica.digest !== undefined) expect(replica.digest).to.match(SHA256);
  });
}

function expectCount(value: unknown, what: string): void {
  expect(value, what).to.satisfy((number: unknown) => Number.isSafeInteger(number) && (number as number) >= 0);
}
