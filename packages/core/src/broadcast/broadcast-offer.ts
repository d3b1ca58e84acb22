/** What a broadcast is: plain data that every node gets alike. */
import { createHash } from "node:crypto";
import { DistributionError } from "../errors/checkpoint-error.ts";
import type { Limits } from "../limits/limits.ts";

/** Names one broadcast: `sequence` counts up inside an epoch and is never used twice. */
export interface BroadcastId {
  readonly jobId: string;
  readonly epoch: number;
  readonly sequence: number;
}

/** Where a node serves chunks: `host:port` or `unix:/path`. */
export interface BroadcastNodeAddress {
  readonly nodeRank: number;
  readonly address: string;
}

/** What it costs to pass a chunk on to the next node, as far as the head knows. Whoever plans the same must know the same, so it travels with the offer. */
export interface HopCost {
  /** A message there and its answer back. */
  readonly roundTripMs: number;
  /** What a chunk costs beyond its time on the wire, at every node: checksum, copy, two threads. */
  readonly handlingMs: number;
  /** Of one link. */
  readonly bytesPerSecond: number;
}

/** What is assumed of a network that nobody has measured: a rack with 10 Gbit/s, and a machine with cores to spare. */
export const DEFAULT_HOP: HopCost = { roundTripMs: 0.2, handlingMs: 2, bytesPerSecond: 1.25e9 };

/** One broadcast. The shard space is the concatenation of the segments, each cut in chunks on its own. */
export interface BroadcastOffer {
  readonly id: BroadcastId;
  readonly segmentBytes: readonly number[];
  /** All chunks have this length but the last of each segment. */
  readonly chunkBytes: number;
  /** Node ranks that have bytes from the start. One: a chain from it. Several: each fills its stripes and the ring carries them on. */
  readonly owners: readonly number[];
  /** Everyone who takes part, in membership order. */
  readonly nodes: readonly BroadcastNodeAddress[];
  /** Connections of each link. Absent: 1. */
  readonly connections?: number;
  /** Absent: `DEFAULT_HOP`. */
  readonly hop?: HopCost;
}

/** The name of a broadcast as a key of tables. */
export function broadcastKey({ jobId, epoch, sequence }: BroadcastId): string {
  return `${epoch}/${sequence}/${jobId}`;
}

/**
 * Digest of what is sent: name and shapes, not who takes part. 32 bytes; every checksum of a chunk covers it, so a chunk of another job,
 * epoch, sequence or layout is refused even where its index fits.
 */
export function contentDigest({ id, segmentBytes, chunkBytes }: BroadcastOffer): Uint8Array {
  return createHash("sha256")
    .update(JSON.stringify(["rankcast-broadcast-1", id.jobId, id.epoch, id.sequence, chunkBytes, segmentBytes]))
    .digest();
}

/**
 * Refuses an offer that cannot be carried out.
 * @throws {DistributionError} RANKCAST_BROADCAST_OFFER
 */
export function checkOffer(offer: BroadcastOffer, limits: Limits): void {
  const { id, segmentBytes, chunkBytes, owners, nodes, connections = 1, hop = DEFAULT_HOP } = offer;
  const refuse = (field: string, why: string): never => {
    throw new DistributionError("RANKCAST_BROADCAST_OFFER", `broadcast ${id.epoch}/${id.sequence}: ${field} ${why}`, {
      details: { field, epoch: id.epoch, sequence: id.sequence },
    });
  };
  for (const [field, value] of [["epoch", id.epoch] as const, ["sequence", id.sequence] as const]) {
    if (!isCount(value)) refuse(field, `is ${value}, not a count`);
  }
  if (!isCount(chunkBytes) || chunkBytes === 0 || chunkBytes > limits.broadcastChunkBytes) {
    refuse("chunkBytes", `is ${chunkBytes}, not a number from 1 to ${limits.broadcastChunkBytes}`);
  }
  if (!isCount(connections) || connections === 0 || connections > limits.broadcastConnections) {
    refuse("connections", `is ${connections}, not a number from 1 to ${limits.broadcastConnections}`);
  }
  const { roundTripMs, handlingMs, bytesPerSecond } = hop;
  if (!(roundTripMs >= 0 && handlingMs >= 0 && bytesPerSecond > 0) || !Number.isFinite(roundTripMs + handlingMs + bytesPerSecond)) {
    refuse("hop", "must hold times from 0 on and a rate above 0");
  }
  let chunks = 0;
  for (const nbytes of segmentBytes) {
    if (!isCount(nbytes)) refuse("segmentBytes", `holds ${nbytes}, not a count`);
    chunks += Math.ceil(nbytes / chunkBytes);
  }
  if (chunks > limits.broadcastChunks) refuse("segmentBytes", `make ${chunks} chunks; at most ${limits.broadcastChunks} are allowed`);
  const ranks = new Set(nodes.map(({ nodeRank }) => nodeRank));
  if (ranks.size !== nodes.length || !nodes.every(({ nodeRank }) => isCount(nodeRank)))
    refuse("nodes", "names a node twice or not by a count");
  if (owners.length === 0 || new Set(owners).size !== owners.length || !owners.every((owner) => ranks.has(owner))) {
    refuse("owners", "must name at least one of the nodes, each once");
  }
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
