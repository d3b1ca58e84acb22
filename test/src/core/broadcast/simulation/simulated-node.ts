/** What a simulated cluster remembers of its nodes and connections. */
import type { ReceiverState, SenderState } from "@rankcast/core/internal";

/** One connection of a link as the network sees it. */
export interface SimulatedConnection {
  readonly number: number;
  readonly link: SimulatedLink;
  open: boolean;
  subscribed: boolean;
  dead: boolean;
  readonly inFlight: Set<number>;
}

/** A pull: connections that share the way from source to receiver. */
export interface SimulatedLink {
  readonly subscription: number;
  readonly receiver: number;
  readonly source: number;
  readonly connections: Map<number, SimulatedConnection>;
  /** When the way has carried what was sent so far. */
  freeMs: number;
}

/** A node: both machines and its fate. */
export interface SimulatedNode {
  receiver: ReceiverState;
  sender: SenderState;
  startMs: number;
  diesMs: number;
  frozen: readonly [number, number];
  pull: SimulatedLink | null;
  /** Counts timers: one that was replaced does not fire. */
  receiverTimer: number;
  senderTimer: number;
}
