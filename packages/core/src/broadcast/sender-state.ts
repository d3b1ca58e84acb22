/**
 * What a node knows of those who pull from it. Immutable; no clock, no sockets. Each subscription has a cursor and credits of its own, so
 * one that is slow holds up nobody else, and what is on its way to it is bounded.
 */
import type { ChunkLayout } from "./chunk-layout.ts";
import { ChunkSet } from "./chunk-set.ts";

/** What the machine is told. */
export interface SenderOptions {
  readonly layout: ChunkLayout;
  /** A subscription with chunks on their way and no sign of life for this long is cut. */
  readonly stallMs: number;
}

/** One connection of a receiver. */
export interface Subscription {
  readonly subscription: number;
  readonly nodeRank: number;
  /** Asked for and not sent yet. */
  readonly want: ChunkSet;
  /** Bytes that may be on their way. */
  readonly creditBytes: number;
  /** Sent and not acknowledged: chunk → bytes. */
  readonly unacknowledged: ReadonlyMap<number, number>;
  readonly unacknowledgedBytes: number;
  /** Last acknowledgement or other sign that bytes arrive. */
  readonly heardMs: number;
  /** Last acknowledgement. */
  readonly ackMs: number;
  readonly named: boolean;
}

/** The whole machine. */
export interface SenderState {
  readonly options: SenderOptions;
  readonly available: ChunkSet;
  readonly subscriptions: ReadonlyMap<number, Subscription>;
  /** Nodes that said they have everything. */
  readonly finished: ReadonlySet<number>;
  /** Nodes that were cut and have not come back since. */
  readonly stalled: ReadonlySet<number>;
  readonly timerDueMs: number | null;
}

/** Nobody pulls yet. */
export function createSenderState(options: SenderOptions): SenderState {
  return {
    options,
    available: ChunkSet.none(options.layout.count),
    subscriptions: new Map(),
    finished: new Set(),
    stalled: new Set(),
    timerDueMs: null,
  };
}
