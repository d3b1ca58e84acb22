/**
 * One collective weight update, as seen by one rank: shorter than the round of a load, because nothing is fetched and usually nothing is
 * new. Ranks say that they are there while the source rank still copies; when every rank knows the segments already, there is nothing to
 * prepare that could fail, and the barrier between preparing and committing is left out.
 *
 *     begin ───────────────┐ every rank is in this update (of a short copy the source says so together with its weights)
 *     source copies ─► published ─► [prepare ─► prepared, for a new layout or set] ─► commit or swap ─► committed: report
 */
import { setImmediate } from "node:timers/promises";
import { type CheckpointError, DistributionError, LoadReport, type LoadReportFields, type ReplicaReport } from "@rankcast/core";
import { nativeMemory, type PlacedSegments, recentPeakRssBytes, type SegmentReuse } from "@rankcast/core/runtime";
import type { Published } from "../grpc/coordinator-channel.ts";
import { type Delivery, prepareDelivery } from "../replica/delivery.ts";
import type { ReplicaLoadOptions } from "../replica/replica-host.ts";
import type { ReplicaSet } from "../replica/replica-set.ts";
import type { RankSession } from "../session/rank-session.ts";

/** What an update needs. */
export interface UpdateRound {
  readonly session: RankSession;
  /** Counts loads and updates of the group; equal on all ranks. */
  readonly sequence: number;
  readonly digest: string;
  readonly replicas: ReplicaSet;
  readonly options: ReplicaLoadOptions;
  readonly noMmap: boolean;
  /** The generation this update makes, if it passes. */
  readonly generation: number;
  /** Of earlier updates; a publication may leave their manifests out. */
  readonly layouts: KnownLayouts;
  /** Copies and offers this rank's weights; null on the ranks that receive. */
  readonly publish: (() => void) | null;
  /** What that copies. */
  readonly publishedBytes: number;
}

/** Layouts whose sets every rank keeps, and their msgpack manifests; the one that was used last is last. */
export type KnownLayouts = ReadonlyMap<string, Uint8Array>;

/** What an update leaves for the next one. */
export interface UpdateOutcome {
  readonly report: LoadReport;
  /** Layout whose sets every rank keeps now; null when segments cannot be kept. */
  readonly layout: string | null;
  readonly manifest: Uint8Array;
}

/**
 * Copying keeps this thread busy. Others wait no longer than the barrier allows without a sign of this rank, so a long copy begins when the rank has said
 * that it is there. Before one of some tenths of a second that would wake every rank once more, on processors that copy: arrival and weights leave together,
 * unless ranks of this job wait so little that even that may be too long.
 */
const ANNOUNCED_BYTES_MIN = 512 * 2 ** 20;
/** What a copy into fresh pages manages on busy processors, with room to spare. */
const COPIED_BYTES_PER_MS = 64 * 2 ** 10;

function isLongCopy({ publishedBytes, session }: UpdateRound): boolean {
  return publishedBytes >= Math.min(ANNOUNCED_BYTES_MIN, session.barrierTimeoutMs * COPIED_BYTES_PER_MS);
}

const BARRIER = { begin: "round/begin", prepared: "round/prepared", committed: "round/committed" } as const;

/**
 * Runs the update.
 * @throws {CheckpointError} the same root cause on every rank; replicas look at the weights they had before.
 */
export async function runUpdate(round: UpdateRound): Promise<UpdateOutcome> {
  const { session, replicas, sequence } = round;
  // Registered before anything can fail, so that a failure on another rank reaches this one wherever it is.
  let stopListening = (): void => undefined;
  const failed = new Promise<never>((_, reject) => {
    stopListening = session.onFailedDecision(BARRIER.prepared, reject);
  });
  failed.catch(() => undefined);
  const begin = arrive(round, "begin");
  begin.catch(() => undefined);
  let committing = false;
  let endTurn = (): void => undefined;
  const takeTurn = async (): Promise<void> => {
    endTurn = await replicas.turns.take();
  };
  try {
    const startMs = performance.now();
    const prepared = await attempt(() => receive(round, failed, begin, takeTurn));
    await begin;
    const reuse = prepared.value?.reuse ?? null;
    if (prepared.failure !== undefined || reuse?.known !== "set") await arrive(round, "prepared", prepared.failure);
    if (reuse?.known === "set") await takeTurn();
    committing = true;
    const label = { generation: round.generation, version: prepared.value?.placed.version ?? "", number: null };
    const committed = await attempt(() =>
      reuse?.known === "set" ? replicas.swap(reuse, round.options, () => deliveryOf(round, prepared.value), label) : replicas.commit(label),
    );
    const payload = reportOf(committed.value ?? [], performance.now() - startMs, round);
    const merged = await arrive(round, "committed", committed.failure, payload);
    const manifest = prepared.value?.manifest ?? new Uint8Array(0);
    return { report: new LoadReport(merged as LoadReportFields), layout: reuse?.layout ?? null, manifest };
  } catch (error) {
    session.forget(sequence);
    await (committing ? replicas.rollBack() : replicas.discard());
    throw error;
  } finally {
    endTurn();
    stopListening();
  }
}

interface Received {
  readonly reuse: SegmentReuse | null;
  readonly manifest: Uint8Array;
  readonly placed: PlacedSegments;
}

async function receive(
  round: UpdateRound,
  failed: Promise<never>,
  begin: Promise<unknown>,
  takeTurn: () => Promise<void>,
): Promise<Received> {
  const { session, replicas, sequence } = round;
  if (round.publish) {
    if (isLongCopy(round)) await messagesOut();
    round.publish();
  }
  const published = await Promise.race([session.published(sequence), failed, rejectionOf(begin)]);
  const placed = published.placement as PlacedSegments;
  const { reuse = null } = placed;
  const manifest = manifestOf(published, reuse, round);
  const received = { reuse, manifest, placed };
  if (reuse?.known !== "set") {
    // A turn that waited for a rank outside of the round would hold a subscription up, and that a publisher, who may be that rank.
    await begin;
    await takeTurn();
    await replicas.prepare(deliveryOf(round, received), round.options);
  }
  return received;
}

function deliveryOf({ replicas, noMmap }: UpdateRound, received: Received | undefined): Delivery {
  if (!received) throw new DistributionError("RANKCAST_PROTOCOL", "weights were never published", {});
  const { manifest, placed } = received;
  return prepareDelivery({ manifest, placed, limits: {} }, replicas.count, noMmap);
}

function manifestOf({ manifest }: Published, reuse: SegmentReuse | null, { layouts }: UpdateRound): Uint8Array {
  return manifest.byteLength === 0 && reuse ? (layouts.get(reuse.layout) ?? manifest) : manifest;
}

/** The rank's part of the report; memory is not measured, because reading it takes longer than an update. */
function reportOf(replicas: readonly ReplicaReport[], loadMs: number, { noMmap }: UpdateRound): unknown {
  const peakRssBytes = recentPeakRssBytes();
  const memory = { before: { pssBytes: null }, after: { pssBytes: null, peakRssBytes } };
  const indexed = replicas.map((replica, index) => ({ ...replica, index }));
  return { loadMs, replicas: indexed, memory, attached: nativeMemory(noMmap) ? "mapped" : "read", warnings: [] };
}

function arrive(round: UpdateRound, stage: keyof typeof BARRIER, failure?: unknown, payload?: unknown): Promise<unknown> {
  return round.session.arrive({
    barrier: BARRIER[stage],
    digest: `${round.sequence} ${round.digest}`,
    ...(failure === undefined ? {} : { failure }),
    ...(payload === undefined ? {} : { payload }),
  });
}

async function attempt<T>(work: () => Promise<T>): Promise<{ value?: T; failure?: CheckpointError | unknown }> {
  try {
    return { value: await work() };
  } catch (failure) {
    return { failure };
  }
}

/** What was sent before has left this process: HTTP/2 writes at the end of one turn, the socket in the next. */
async function messagesOut(): Promise<void> {
  await setImmediate();
  await setImmediate();
}

/** Rejects like `promise`, never resolves: a passed barrier is not what the race is about. */
function rejectionOf(promise: Promise<unknown>): Promise<never> {
  return new Promise((_, reject) => {
    promise.catch(reject);
  });
}
