/**
 * The data plane of one node, as its coordinator sees it: tensor bytes between nodes. Everything that touches them runs in two threads of its
 * own, so the coordinator's event loop stays free.
 */
import type { CheckpointError, Limits } from "@rankcast/core";
import type { BroadcastId, BroadcastOffer, SegmentDescriptor } from "@rankcast/core/runtime";
import type { LinkKey } from "../link/link-key.ts";
import type { KeptTarget } from "./incoming.ts";
import type { GenerationPlace } from "./kept-generations.ts";
import { startThreads } from "./start-threads.ts";
import { ThreadedBroadcast } from "./threaded-broadcast.ts";
import type { NodeGenerations } from "./threaded-generations.ts";

export { type BroadcastId, type BroadcastNodeAddress, type BroadcastOffer, chooseChunkBytes } from "@rankcast/core/runtime";

/** Bytes that were brought here. */
export interface ReceivedSegments {
  readonly descriptors: readonly SegmentDescriptor[];
  /** The fastest answer that a source has given to being dialled; null where nobody can tell. */
  readonly roundTripMs: number | null;
  /** Names the memory where it is kept for later generations; null: it is given back for good. */
  readonly set: string | null;
  /** Gives the memory back once every consumer has attached; what is still served from it stays. Safe to call twice. */
  release(): void;
}

/** Reads this node's own part from the origin: all of `into`, from `offset` of the segment. `into` may be written until it settles. */
export type StripeReader = (segment: number, offset: number, into: Uint8Array, signal: AbortSignal) => Promise<void>;

/** What happens beside the outcome. */
export type BroadcastEvent = { readonly id: BroadcastId } /** Chunks come from another node now, and why. */ & (
  | { readonly type: "source-switched"; readonly from: number; readonly to: number; readonly reason: string }
  /** A node that pulls from here takes much longer than it should. */
  | { readonly type: "receiver-slow"; readonly nodeRank: number; readonly silentMs: number }
  /** It was given up: its connection is cut. Under policy `fail` an `offer` of this broadcast rejects with this error. */
  | { readonly type: "receiver-stalled"; readonly nodeRank: number; readonly silentMs: number; readonly error: CheckpointError }
  /** A node that pulled from here has every chunk. */
  | { readonly type: "receiver-finished"; readonly nodeRank: number }
);

/** How receiving is watched and steered. */
export interface ReceiveOptions {
  readonly signal?: AbortSignal | undefined;
  /** Bytes here and verified so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
  /** With several owners: fills this node's stripes. Without it they are pulled like the rest. */
  readonly own?: StripeReader | undefined;
  /** Receives into memory that this node keeps, as a generation that later ones can start from; a difference is put onto the one before. */
  readonly kept?: KeptTarget | undefined;
}

/** How to offer. */
export interface OfferOptions {
  readonly signal?: AbortSignal | undefined;
  /** The bytes are a generation that `generations` was told about, in this memory. */
  readonly held?: { readonly place: GenerationPlace; readonly set: string } | undefined;
}

/** The data plane of one node. */
export interface NodeBroadcast {
  /** Where other nodes pull from here: what the offer's `nodes` say about this node, with a host that they can reach. */
  readonly laneAddress: string;
  /** 0 for a unix socket. */
  readonly lanePort: number;
  /** The node's rank, where it is given out after the door for lanes had to be known. Between broadcasts only. */
  assign(nodeRank: number): void;
  /** What is kept from one broadcast to the next. */
  readonly generations: NodeGenerations;
  /**
   * This node owns the bytes: serves them to whoever pulls, until `end`. Resolves when every node that is planned to pull from here has
   * everything, was given up (policy `drop`), or the broadcast was ended.
   * @throws {CheckpointError} RANKCAST_BROADCAST_OFFER, RANKCAST_RECEIVER_STALLED (policy `fail`), RANKCAST_SEGMENT_GONE, RANKCAST_SOURCE_CHANGED; or the signal's reason.
   */
  offer(offer: BroadcastOffer, descriptors: readonly SegmentDescriptor[], options?: OfferOptions): Promise<void>;
  /**
   * Brings all bytes here, serving them meanwhile and after, until `end`. Resolves when complete and verified.
   * @throws {CheckpointError} RANKCAST_BROADCAST_OFFER, RANKCAST_BROADCAST_STALLED, RANKCAST_BROADCAST_CORRUPT, RANKCAST_MEMORY_FULL, RANKCAST_DELTA (the generation that
   * a difference starts from is not here, or is another one); or the signal's reason. Nothing is left behind.
   */
  receive(offer: BroadcastOffer, options?: ReceiveOptions): Promise<ReceivedSegments>;
  /** Stops serving, and forgets the broadcast and its memory. An `offer` that is open resolves, a `receive` that is open rejects. */
  end(id: BroadcastId): void;
  /** Ends every broadcast and the threads. Safe to call twice. */
  close(): Promise<void>;
}

/** How to start the data plane of a node. */
export interface NodeBroadcastOptions {
  /** May be corrected by `assign`. */
  readonly nodeRank: number;
  /** Where to listen for other nodes: `host:port` (port 0: any), or `unix:/path`. */
  readonly listen: string;
  readonly key: LinkKey;
  readonly noMmap: boolean;
  readonly limits: Limits;
  /** What carries the bytes, equal on every node. Default `tcp`; `grpc` is slower and looks like HTTP/2 to what is between the nodes. */
  readonly lane?: "tcp" | "grpc";
  /** What a receiver that takes nothing any more does to the broadcast. Default `fail`. */
  readonly stalledReceiver?: "fail" | "drop";
  readonly onEvent?: ((event: BroadcastEvent) => void) | undefined;
}

/**
 * Starts the two threads and listens.
 * @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE when the address cannot be bound.
 * @throws {UsageError} RANKCAST_UNPROTECTED when it could be reached from other machines without protection.
 */
export async function startNodeBroadcast(options: NodeBroadcastOptions): Promise<NodeBroadcast> {
  const { limits, stalledReceiver = "fail", onEvent = () => undefined } = options;
  const threads = await startThreads({
    lane: options.lane ?? "tcp",
    key: options.key,
    listen: options.listen,
    noMmap: options.noMmap,
    bounds: {
      creditBytes: limits.broadcastCreditBytes,
      stallMs: limits.broadcastStallMs,
      giveUpMs: limits.broadcastSilenceMs,
      chunks: limits.broadcastChunks,
    },
  });
  return new ThreadedBroadcast(threads, { nodeRank: options.nodeRank, limits, stalledReceiver, onEvent });
}
