/** What the coordinator's thread and the two threads of the data plane say to each other. Plain data. */

import type { MessagePort } from "node:worker_threads";
import type { BroadcastId, BroadcastOffer, ErrorRecord, SegmentDescriptor } from "@rankcast/core/runtime";
import type { LinkKey } from "../link/link-key.ts";
import type { Arrived, KeptTarget } from "./incoming.ts";
import type { GenerationPlace, RankSet } from "./kept-generations.ts";

/** Bounds of the data plane, from the limits. */
export interface BroadcastBounds {
  readonly creditBytes: number;
  readonly stallMs: number;
  readonly giveUpMs: number;
  readonly chunks: number;
}

/** How a thread starts. */
export interface ThreadStart {
  readonly role: "fill" | "serve";
  readonly lane: "tcp" | "grpc";
  readonly key: LinkKey;
  /** Where the serving thread listens. */
  readonly listen: string;
  readonly noMmap: boolean;
  readonly bounds: BroadcastBounds;
  /** Between the two threads. */
  readonly port: MessagePort;
}

/** A rank of this node has a generation; tell how it differs from another one, if that is much less. */
export interface EncodeCommand {
  readonly type: "encode";
  /** Names the answer. */
  readonly request: number;
  readonly place: GenerationPlace;
  readonly source: RankSet;
  /** The generation to start from; `source` where a rank has it still and this thread may not know it. */
  readonly base: { readonly generation: number; readonly source: RankSet | null } | null;
}

/** Coordinator → filling thread, about generations that are kept. */
export type GenerationCommand =
  | EncodeCommand
  /** A difference was sent, or will not be. */
  | { readonly type: "forgetEncoded"; readonly request: number }
  | { readonly type: "retain"; readonly lineage: string; readonly generations: readonly number[] }
  | { readonly type: "drop"; readonly lineage: string; readonly generation: number }
  | { readonly type: "forgetAll" };

/** Coordinator → filling thread. */
export type FillCommand =
  | GenerationCommand
  /** The bytes are here: check them and have them served. `held`: they are a generation that was named before. */
  | {
      readonly type: "offer";
      readonly offer: BroadcastOffer;
      readonly descriptors: readonly SegmentDescriptor[];
      readonly held: { readonly place: GenerationPlace; readonly set: string } | null;
    }
  | {
      readonly type: "receive";
      readonly offer: BroadcastOffer;
      readonly nodeRank: number;
      readonly striped: boolean;
      readonly kept: KeptTarget | null;
    }
  /** The bytes of a chunk that this node reads from the origin. */
  | { readonly type: "stripe"; readonly key: string; readonly chunk: number; readonly bytes: Uint8Array }
  /** Stops bringing bytes here; what is here stays served. */
  | { readonly type: "cancel"; readonly key: string }
  /** The consumers have attached: memory may go when nothing is served from it any more. */
  | { readonly type: "release"; readonly key: string }
  | { readonly type: "end"; readonly id: BroadcastId }
  | { readonly type: "close" };

/** Filling thread → serving thread, in order. */
export type ServeCommand =
  | { readonly type: "open"; readonly offer: BroadcastOffer; readonly served: Arrived }
  /** Memory that was served is given back. */
  | { readonly type: "forget"; readonly set: string }
  | { readonly type: "available"; readonly key: string; readonly chunk: number; readonly checksum: number }
  | { readonly type: "end"; readonly key: string }
  | { readonly type: "close" };

/** Serving thread → filling thread: the segments of this broadcast are open (or cannot be). */
export interface Opened {
  readonly opened: string;
}

/** Either thread → coordinator. */
export type ThreadMessage =
  | { readonly type: "ready"; readonly address: string; readonly port: number }
  | { readonly type: "unready"; readonly error: ErrorRecord }
  /** Bytes here and verified so far. */
  | { readonly type: "progress"; readonly key: string; readonly bytes: number }
  | {
      readonly type: "complete";
      readonly key: string;
      readonly arrived: Arrived;
      /** See `ReceivedSegments`. */
      readonly roundTripMs: number | null;
    }
  /** The answer to `encode`: the difference, null when the bytes travel whole. */
  | { readonly type: "encoded"; readonly request: number; readonly descriptor: SegmentDescriptor | null }
  | { readonly type: "failed"; readonly key: string; readonly error: ErrorRecord }
  /** A stripe's bytes were taken: its memory may be used again. */
  | { readonly type: "taken"; readonly key: string; readonly chunk: number }
  | { readonly type: "switched"; readonly key: string; readonly from: number; readonly to: number; readonly reason: string }
  | { readonly type: "slow"; readonly key: string; readonly receiver: number; readonly silentMs: number }
  | { readonly type: "stalled"; readonly key: string; readonly receiver: number; readonly silentMs: number }
  | { readonly type: "finished"; readonly key: string; readonly receiver: number };
