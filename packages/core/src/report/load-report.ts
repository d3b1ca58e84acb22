/** The result of a load over all ranks and replicas. */
import type { Warning } from "../manifest/checkpoint-tree.ts";
import { renderReport } from "./render-report.ts";
import { EMPTY_REPLICA_REPORT, isClean, type Mismatch, type ReplicaReport } from "./replica-report.ts";
import { toTorchMessage } from "./torch-message.ts";
import { toVis4dMessage } from "./vis4d-message.ts";

/** What the origin server or file system was asked for, over the whole job. */
export interface OriginReport {
  readonly requests: number;
  readonly bytesNeeded: number;
  readonly bytesRead: number;
  readonly retries: number;
  readonly cacheHits: number;
}

/** One run of shared memory that holds the checkpoint on a node. */
export interface SegmentReport {
  readonly kind: "file" | "memfd" | "shared";
  readonly bytes: number;
}

/** One rank and its replicas. */
export interface RankReport {
  readonly rank: number;
  readonly localRank: number;
  readonly nodeRank: number;
  readonly host: string;
  readonly pid: number;
  readonly replicas: readonly ReplicaReport[];
}

/**
 * Milliseconds of each phase. Phases of a load by several processes overlap: `verifyMs` (comparing stored checksums of mapped files, making casts)
 * runs beside `loadMs`, so that their sum may exceed `totalMs`. `totalMs` runs from "every rank has joined and its replicas are built" to "the barrier released every rank".
 */
export interface TimingReport {
  readonly startMs: number;
  readonly resolveMs: number;
  readonly fetchMs: number;
  readonly decodeMs: number;
  readonly broadcastMs: number;
  readonly verifyMs: number;
  /** What ranks copied beside `fetchMs`, while files arrived: the slowest one's time. Absent when they copied nothing then. */
  readonly aheadMs?: number;
  readonly loadMs: number;
  readonly barrierMs: number;
  readonly totalMs: number;
}

/** Memory of the job; `pssBytes` is null where the system does not tell. */
export interface MemoryReport {
  readonly pssBytes: number | null;
  /** Rank (as text) to its highest resident size. */
  readonly peakRssBytes: Readonly<Record<string, number>>;
  readonly sharedBytes: number;
}

/** The bytes of a round as one node sent them to the next. */
export interface BroadcastReport {
  readonly bytes: number;
  /** `delta`: as the difference from the weights of the update before. */
  readonly encoding: "full" | "delta";
}

/** The JSON of a load report. */
export interface LoadReportFields {
  /** Without secrets. */
  readonly weights: string;
  readonly format: string;
  readonly generation: number;
  readonly sha256?: string;
  /** Dotted path of the state dict that was chosen inside the checkpoint; absent when it is the whole file. */
  readonly selected?: string;
  readonly bytes: number;
  readonly worldSize: number;
  readonly nodes: number;
  readonly origin: OriginReport;
  readonly segments: readonly SegmentReport[];
  readonly ranks: readonly RankReport[];
  readonly timings: TimingReport;
  readonly memory: MemoryReport;
  /** What travelled to each other node; absent on one node, and where every node fetched for itself. */
  readonly broadcast?: BroadcastReport;
  /** The opaque label that an update was given. */
  readonly version?: string;
  readonly warnings: readonly Warning[];
}

const NO_ORIGIN: OriginReport = { requests: 0, bytesNeeded: 0, bytesRead: 0, retries: 0, cacheHits: 0 };
const NO_TIME: TimingReport = {
  startMs: 0,
  resolveMs: 0,
  fetchMs: 0,
  decodeMs: 0,
  broadcastMs: 0,
  verifyMs: 0,
  loadMs: 0,
  barrierMs: 0,
  totalMs: 0,
};

/** What a load did, for programs (`toJSON`) and for people (`toString`). Immutable. */
export class LoadReport implements LoadReportFields {
  readonly weights: string;
  readonly format: string;
  readonly generation: number;
  declare readonly sha256?: string;
  declare readonly selected?: string;
  readonly bytes: number;
  readonly worldSize: number;
  readonly nodes: number;
  readonly origin: OriginReport;
  readonly segments: readonly SegmentReport[];
  readonly ranks: readonly RankReport[];
  readonly timings: TimingReport;
  readonly memory: MemoryReport;
  declare readonly broadcast?: BroadcastReport;
  declare readonly version?: string;
  readonly warnings: readonly Warning[];

  /** Fields that are absent are those of a load in one process of a state dict in memory. */
  constructor(fields: Partial<LoadReportFields>) {
    this.weights = fields.weights ?? "";
    this.format = fields.format ?? "memory";
    this.generation = fields.generation ?? 0;
    if (fields.sha256 !== undefined) this.sha256 = fields.sha256;
    if (fields.selected !== undefined) this.selected = fields.selected;
    if (fields.broadcast !== undefined) this.broadcast = fields.broadcast;
    if (fields.version !== undefined) this.version = fields.version;
    this.bytes = fields.bytes ?? 0;
    this.worldSize = fields.worldSize ?? 1;
    this.nodes = fields.nodes ?? 1;
    this.origin = fields.origin ?? NO_ORIGIN;
    this.segments = fields.segments ?? [];
    this.ranks = fields.ranks ?? [];
    this.timings = fields.timings ?? NO_TIME;
    this.memory = fields.memory ?? { pssBytes: null, peakRssBytes: {}, sharedBytes: 0 };
    this.warnings = fields.warnings ?? [];
  }

  /** The first replica's report; every replica's is the same when all replicas are one model. Empty when there is none. */
  get replica(): ReplicaReport {
    return this.ranks[0]?.replicas[0] ?? EMPTY_REPLICA_REPORT;
  }

  /** Keys loaded, of the first replica. */
  get matched(): number {
    return this.replica.matched;
  }

  /** Missing keys of the first replica. */
  get missing(): readonly string[] {
    return this.replica.missing;
  }

  /** Unexpected keys of the first replica. */
  get unexpected(): readonly string[] {
    return this.replica.unexpected;
  }

  /** Mismatched keys of the first replica. */
  get mismatched(): readonly Mismatch[] {
    return this.replica.mismatched;
  }

  /** Whether every replica took every key of both sides and no rule had to allow anything. */
  get isClean(): boolean {
    return this.ranks.every((rank) => rank.replicas.every(isClean));
  }

  /** Plain data in the public JSON shape. */
  toJSON(): LoadReportFields {
    return {
      weights: this.weights,
      format: this.format,
      generation: this.generation,
      ...(this.sha256 === undefined ? {} : { sha256: this.sha256 }),
      ...(this.selected === undefined ? {} : { selected: this.selected }),
      bytes: this.bytes,
      worldSize: this.worldSize,
      nodes: this.nodes,
      origin: this.origin,
      segments: this.segments,
      ranks: this.ranks,
      timings: this.timings,
      ...(this.broadcast === undefined ? {} : { broadcast: this.broadcast }),
      ...(this.version === undefined ? {} : { version: this.version }),
      memory: this.memory,
      warnings: this.warnings,
    };
  }

  /** The table for people: counts, folded keys, what differs on which side, what to try next. Ends without a newline. */
  toString(): string {
    return renderReport(this);
  }

  /** torch's text about the first replica: its strict error, or its sentence of success when the load was clean. */
  toTorchMessage(): string {
    return toTorchMessage(this.replica);
  }

  /** vis4d's and mmengine's text about the first replica; empty when they would say nothing. */
  toVis4dMessage(): string {
    return toVis4dMessage(this.replica);
  }
}
