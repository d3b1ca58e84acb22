/**
 * Loads of a tiny checkpoint through all that a coordinator does of one (messages, barriers, fetching, the report), while ranks are being started:
 * the first time takes several times as long as the others (code is compiled, doors are opened), and every rank waits for it. Threads for the checksums
 * of files that were never seen are started behind it.
 */
import { devNull } from "node:os";
import type { FetchOptions, LoadReportFields } from "@rankcast/core";
import { importReaders, MemoryMeter, rehearseChecksums } from "@rankcast/core/runtime";
import { type CastWish, fetchAndCast } from "../fetch/cast-weights.ts";
import { fetchWeights } from "../fetch/fetch-weights.ts";
import { openRehearsedCheckpoint } from "../fetch/rehearsed-checkpoint.ts";
import { type CoordinatorMessage, type Hello, PROTOCOL_VERSION, type RankConnection } from "../grpc/coordination-server.ts";
import { type RehearsalLane, rehearsalLane } from "../grpc/rehearsal-lane.ts";
import { NodeCoordinator } from "./node-coordinator.ts";

/** Used where it lies, by ranks whose models want what is stored. Whether it was compared before is asked of a cache that remembers nothing. */
const IN_PLACE: FetchOptions & CastWish = { immutable: true, castTo: "float32", cacheDir: devNull };
/** Brought into memory with its checksums compared, and in place, which is the way that must be fast: each its own half of the code. */
const WAYS: readonly FetchOptions[] = [{}, IN_PLACE, IN_PLACE];
const RANKS = 4;
const JOB = { jobId: "rehearsal", epoch: 0, worldSize: RANKS, localWorldSize: RANKS } as const;
const STAGES = ["begin", "prepared", "committed", "reported"] as const;
/** Nobody is waited for: all ranks are this one. */
const TIMEOUT_MS = 60_000;
/** What a rank brings to the last barrier. */
const REPORTED = {
  replicas: [{ index: 0, model: "", expected: 16, matched: 16, missing: [], unexpected: [], mismatched: [], errors: [], casts: [] }],
  memory: { before: { pssBytes: 1, peakRssBytes: 1 }, after: { pssBytes: 1, peakRssBytes: 1 } },
  attached: "mapped",
  warnings: [],
};

/**
 * Rehearses; imports what a fetch needs where there is no memory to put a checkpoint into. Leaves nothing behind and never rejects: what fails here
 * fails again where somebody is told. Gives the reports, for tests.
 */
export async function rehearseRounds(): Promise<readonly LoadReportFields[]> {
  await importReaders();
  const reports: LoadReportFields[] = [];
  try {
    const checkpoint = openRehearsedCheckpoint();
    if (checkpoint === null) return [];
    try {
      await rehearseLoads(checkpoint.path, reports);
    } finally {
      checkpoint.close();
    }
  } catch {
    // The first load says what is wrong.
  }
  // Last, because they take a processor from ranks that start. A rank that comes before them does without.
  rehearseChecksums();
  return reports;
}

async function rehearseLoads(weights: string, reports: LoadReportFields[]): Promise<void> {
  const coordinator = new NodeCoordinator({
    ...JOB,
    fetch: fetchAndCast(fetchWeights),
    memory: new MemoryMeter(),
    barrierTimeoutMs: TIMEOUT_MS,
    onEvent: (event) => {
      if (event.type === "report") reports.push(event.report);
    },
  });
  try {
    const ranks = Array.from({ length: RANKS }, (_, rank) => new RehearsedRank(rank, coordinator));
    for (const [index, options] of WAYS.entries()) await Promise.all(ranks.map((rank) => rank.load(index + 1, weights, options)));
  } finally {
    coordinator.close();
  }
}

/** A rank that takes part in every round and does nothing. */
class RehearsedRank implements RankConnection {
  readonly hello: Hello;
  readonly #lane: RehearsalLane;
  #round = { sequence: 0, digest: "" };
  #passed: () => void = () => undefined;
  #failed: (reason: unknown) => void = () => undefined;

  constructor(rank: number, coordinator: NodeCoordinator) {
    this.hello = {
      type: "hello",
      protocol: PROTOCOL_VERSION,
      ...JOB,
      rank,
      localRank: rank,
      nodeRank: 0,
      incarnation: "",
      pid: 0,
      host: "",
    };
    this.#lane = rehearsalLane((message) => coordinator.onMessage(this, message));
    coordinator.onJoin(this);
  }

  load(sequence: number, weights: string, options: FetchOptions): Promise<void> {
    this.#round = { sequence, digest: `${sequence} rehearsal` };
    return new Promise((resolve, reject) => {
      this.#passed = resolve;
      this.#failed = reject;
      this.#lane.say({ type: "load", sequence, weights, options, digest: "rehearsal" });
      this.#arrive("begin");
    });
  }

  send(message: CoordinatorMessage): void {
    this.#lane.send(message);
    if (message.type === "aborted" || (message.type === "decision" && !message.passed)) this.#failed(message.cause);
    else if (message.type === "decision") this.#goOn(message.barrier);
    else if (message.type === "published") this.#arrive("prepared");
  }

  refuse(_kind: string, text: string): void {
    this.#failed(text);
  }

  end(): void {
    this.#failed("the coordinator ended");
  }

  #goOn(barrier: string): void {
    if (barrier === "round/prepared") this.#arrive("committed", { loadMs: 1 });
    if (barrier === "round/committed") {
      this.#lane.say({ type: "progress", phase: "reporting" });
      this.#arrive("reported", REPORTED);
    }
    if (barrier === "round/reported") this.#passed();
  }

  /** In a turn of its own, as what comes from a socket. */
  #arrive(stage: (typeof STAGES)[number], payload?: unknown): void {
    const { sequence: generation, digest } = this.#round;
    const given = payload === undefined ? {} : { payload };
    setImmediate(() => this.#lane.say({ type: "arrive", barrier: `round/${stage}`, generation, digest, ...given }));
  }
}
