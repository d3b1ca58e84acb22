/** What happens to a sender, and what it wants done. Plain data. */
import type { ChunkSet } from "./chunk-set.ts";

/** What happened. */
export type SenderEvent = { readonly nowMs: number } /** A chunk is here and verified. */ & (
  | { readonly type: "available"; readonly chunk: number }
  /** A connection of a receiver that wants chunks: the first of its subscription, or one more, which changes nothing of what is wanted. */
  | {
      readonly type: "subscribe";
      readonly subscription: number;
      readonly connection: number;
      readonly nodeRank: number;
      readonly want: ChunkSet;
      readonly creditBytes: number;
    }
  | { readonly type: "acknowledged"; readonly subscription: number; readonly connection: number; readonly chunk: number }
  /** Part of a chunk has arrived there. */
  | { readonly type: "alive"; readonly subscription: number; readonly connection: number }
  /** The receiver has lost this connection, and lacks `missing`. */
  | { readonly type: "lost"; readonly subscription: number; readonly connection: number; readonly missing: ChunkSet }
  /** The node has every chunk. */
  | { readonly type: "finished"; readonly nodeRank: number; readonly subscription: number }
  | { readonly type: "gone"; readonly subscription: number; readonly connection: number }
  | { readonly type: "timer" }
);

/** What the driver must do, in order. */
export type SenderInstruction =
  | { readonly type: "send"; readonly subscription: number; readonly connection: number; readonly chunk: number }
  /** For logs and errors: this node takes much longer than it should. */
  | { readonly type: "slow"; readonly nodeRank: number; readonly silentMs: number }
  /** For errors: this node takes nothing any more. Its connections are cut as well. */
  | { readonly type: "stalled"; readonly nodeRank: number; readonly silentMs: number }
  /** Close the connection: nothing arrives over it any more, or the node did what no node of ours does. */
  | { readonly type: "cut"; readonly subscription: number; readonly connection: number; readonly reason: "silent" | "protocol" | "lost" }
  | { readonly type: "setTimer"; readonly dueMs: number };
