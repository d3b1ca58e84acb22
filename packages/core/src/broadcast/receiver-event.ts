/** What happens to a receiver, and what it wants done. Plain data. */
import type { ChunkSet } from "./chunk-set.ts";
import type { ReceiverFailure } from "./receiver-state.ts";

/** What happened. Events of a pull that was stopped are not delivered any more. */
export type ReceiverEvent = { readonly nowMs: number } & (
  | { readonly type: "start" }
  /** Bytes of a chunk came that is not complete yet. */
  | { readonly type: "bytes" }
  /** A chunk is in its place and its checksum was right. */
  | { readonly type: "chunk"; readonly source: number; readonly connection: number; readonly chunk: number }
  /** A chunk was filled from the origin. */
  | { readonly type: "own"; readonly chunk: number }
  /** A chunk's checksum was wrong; the connection it came with is over. */
  | { readonly type: "corrupt"; readonly source: number; readonly connection: number; readonly chunk: number }
  /** A connection ended or could not be opened. */
  | { readonly type: "broken"; readonly source: number; readonly connection: number; readonly reason: string }
  /** How many of the wanted chunks a source has now; null when it could not be asked. */
  | { readonly type: "have"; readonly source: number; readonly available: number | null }
  | { readonly type: "timer" }
);

/** What the driver must do, in order. */
export type ReceiverInstruction =
  /** Have chunks of `want` sent as soon as the source has them, over these connections of a new link. */
  | { readonly type: "pull"; readonly source: number; readonly connections: readonly number[]; readonly want: ChunkSet }
  /** Open one more connection of the link; `want` counts only if the source knows nothing of the link any more. */
  | { readonly type: "connect"; readonly source: number; readonly connection: number; readonly want: ChunkSet }
  /** Say over a connection that lives that this one is lost, and what is missing. */
  | { readonly type: "reask"; readonly source: number; readonly connection: number; readonly missing: ChunkSet }
  /** Ask, over a connection of its own, how many of `want` the source has. Answered by `have`. */
  | { readonly type: "probe"; readonly source: number; readonly want: ChunkSet }
  /** End the pull from this source. */
  | { readonly type: "stop"; readonly source: number }
  /** For logs: chunks come from another node now. */
  | { readonly type: "switched"; readonly from: number; readonly to: number; readonly reason: string }
  | { readonly type: "setTimer"; readonly dueMs: number }
  | { readonly type: "complete" }
  | { readonly type: "fail"; readonly failure: ReceiverFailure };
