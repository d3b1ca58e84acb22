/** What a simulated cluster remembers of its nodes and connections. */
import type { ReceiverState, SenderState } from "@rankcast/core/internal";

/** A pull as the network sees it. */
export interface SimulatedConnection {
  readonly id: number;
  readonly receiver: number;
  readonly source: number;
  open: boolean;
  subscribed: boolean;
  dead: boolean;
  freeMs: number;
  inFlight: number;
}

/** A node: both machines and its fate. */
export interface SimulatedNode {
  receiver: ReceiverState;
  sender: SenderState;
  startMs: number;
  diesMs: number;
  frozen: readonly [number, number];
  pull: SimulatedConnection | null;
  /** Counts timers: one that was replaced does not fire. */
  receiverTimer: number;
  senderTimer: number;
}
