/**
 * One collective load or update, as seen by one rank. Five barriers, each with the same outcome on every rank:
 * begin (all want the same) → weights published → prepared (nothing touched yet) → committed → reported (not part of the load's time).
 */
import { setImmediate as nextTurn, setTimeout as pause } from "node:timers/promises";
import { type CheckpointError, DistributionError, LoadReport, type LoadReportFields, type ReplicaReport } from "@rankcast/core";
import { type MemoryMeter, type MemoryUse, nativeMemory, type PlacedSegments } from "@rankcast/core/runtime";
import type { Published } from "../grpc/coordinator-channel.ts";
import { prepareDelivery } from "../replica/delivery.ts";
import type { ReplicaLoadOptions } from "../replica/replica-host.ts";
import type { ReplicaSet } from "../replica/replica-set.ts";
import type { RankSession } from "../session/rank-session.ts";
import { type CopyingAhead, copyAhead } from "./copy-ahead.ts";

/** Hearing a decision takes less than half a millisecond of processor time per rank. */
const RELEASE_MS = 2;

/** What a round needs. */
export interface Round {
  readonly session: RankSession;
  /** 1, 2, 3 … over loads and updates of one group; equal on all ranks. */
  readonly sequence: number;
  /** Equal on all ranks, or the round fails at its first barrier. */
  readonly digest: string;
  readonly replicas: ReplicaSet;
  /** Whether there is no other rank. */
  readonly isAlone: boolean;
  readonly options: ReplicaLoadOptions;
  /** Compute a digest of each replica's state after the load. */
  readonly withDigest: boolean;
  /** The generation this round makes, if it passes. */
  readonly generation: number;
  readonly noMmap: boolean;
  readonly memory: MemoryMeter;
  /** Overrides of limits. */
  readonly limits: Readonly<Record<string, number>>;
  readonly signal: AbortSignal | undefined;
  /** Told when a phase begins. */
  readonly onPhase: (phase: string) => void;
  /** Says what is wanted, before the others have come: the coordinator starts with the first. */
  announce(): void;
  /** Waits for the published weights, or publishes its own. */
  deliver(): Promise<Published>;
}

/**
 * Runs the round.
 * @throws {CheckpointError} the same root cause on every rank.
 */
export async function runRound(round: Round): Promise<LoadReport> {
  const { session, replicas } = round;
  const before = round.memory.before();
  // Registered before anything can fail, so that a failure on another rank reaches this one wherever it is.
  const doomed = session.nextDecision("round/prepared");
  doomed.catch(() => undefined);
  let endTurn = (): void => undefined;
  let ahead: CopyingAhead | null = null;
  let aheadMs = 0;
  try {
    round.announce();
    await arrive(round, "begin", cancelled(round));
    round.onPhase("waiting for weights");
    ahead = copyAhead(round);
    // A failure of this rank is carried by the next barrier; throwing it here would leave the others waiting.
    const prepared = await attempt(async () => {
      const published = await Promise.race([round.deliver(), rejectionOf(doomed)]);
      aheadMs = (await ahead?.stop()) ?? 0;
      round.onPhase("preparing");
      endTurn = await replicas.turns.take();
      const startMs = performance.now();
      await prepare(round, published);
      return performance.now() - startMs;
    });
    await arrive(round, "prepared", prepared.failure ?? cancelled(round));
    round.onPhase("loading");
    const commitStartMs = performance.now();
    const committed = await attempt(() => replicas.commit({ generation: round.generation, version: "", number: null }));
    const loadMs = (prepared.value ?? 0) + performance.now() - commitStartMs;
    await arrive(round, "committed", committed.failure, { loadMs, aheadMs });
    const report = await reportRound(round, committed.value ?? [], before);
    session.reportPhase("idle");
    return report;
  } catch (error) {
    session.forget(round.sequence);
    await ahead?.stop();
    await replicas.discard();
    session.reportPhase("idle");
    throw error;
  } finally {
    endTurn();
  }
}

/** Digests and memory are taken after the barrier that ends the load: they are not part of its time. */
async function reportRound(round: Round, reports: readonly ReplicaReport[], before: MemoryUse): Promise<LoadReport> {
  round.session.reportPhase("reporting");
  round.onPhase("reporting");
  // What was said has to leave before measuring blocks this thread, and other ranks have to hear that they may go on: measuring takes a processor for
  // longer than they need.
  await (round.isAlone ? nextTurn() : pause(RELEASE_MS));
  const facts = await attempt(() => round.replicas.facts(round.withDigest));
  const after = round.memory.after();
  const replicas = reports.map((report, index) => {
    const digest = facts.value?.[index]?.digest;
    return { ...report, index, ...(digest ? { digest } : {}) };
  });
  const attached = nativeMemory(round.noMmap) ? "mapped" : "read";
  const warnings = [...new Set((facts.value ?? []).flatMap((each) => each.warnings))];
  const merged = await arrive(round, "reported", facts.failure, { replicas, memory: { before, after }, attached, warnings });
  return new LoadReport(merged as LoadReportFields);
}

async function prepare(round: Round, published: Published): Promise<void> {
  const weights = { manifest: published.manifest, placed: published.placement as PlacedSegments, limits: round.limits };
  const delivery = prepareDelivery(weights, round.replicas.count, round.noMmap);
  await round.replicas.prepare(delivery, round.options);
}

function arrive(round: Round, stage: string, failure: unknown, payload?: unknown): Promise<unknown> {
  return round.session.arrive({
    barrier: `round/${stage}`,
    digest: `${round.sequence} ${round.digest}`,
    ...(failure === undefined ? {} : { failure }),
    ...(payload === undefined ? {} : { payload }),
  });
}

async function attempt<T>(work: () => Promise<T>): Promise<{ value?: T; failure?: unknown }> {
  try {
    return { value: await work() };
  } catch (failure) {
    return { failure };
  }
}

function cancelled({ signal }: Round): CheckpointError | undefined {
  return signal?.aborted
    ? new DistributionError("RANKCAST_CANCELLED", "the caller cancelled the load", { cause: signal.reason })
    : undefined;
}

/** Rejects like `promise`, never resolves: a passed barrier is not what the race is about. */
function rejectionOf(promise: Promise<unknown>): Promise<never> {
  return new Promise((_, reject) => {
    promise.catch(reject);
  });
}
