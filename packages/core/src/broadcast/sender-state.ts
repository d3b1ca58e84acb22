/**
 * What a node knows of those who pull from it. Immutable; no clock, no sockets. Each subscription has a cursor and credits of its own, so
 * one that is slow holds up nobody else, and what is on its way to it is bounded. A subscription has one connection or several, which share its
 * credits: a chunk goes to the one that has the least on its way, so faster ones carry more.
 */
import type { ChunkLayout } from "./chunk-layout.ts";
import { ChunkSet } from "./chunk-set.ts";

/** What the machine is told. */
export interface SenderOptions {
  readonly layout: ChunkLayout;
  /** A connection with chunks on their way and no sign of life for this long is cut; when all of a subscription are, its node is stalled. */
  readonly stallMs: number;
  /** How many connections a subscription is planned to have: each may have this part of its credits on its way. */
  readonly connections: number;
}

/** One connection of a subscription. */
export interface SenderConnection {
  /** The receiver's number for it; not used again in the subscription. */
  readonly connection: number;
  /** Sent and not acknowledged: chunk → bytes. */
  readonly unacknowledged: ReadonlyMap<number, number>;
  readonly unacknowledgedBytes: number;
  /** Last acknowledgement or other sign that bytes arrive. */
  readonly heardMs: number;
}

/** What one receiver pulls. */
export interface Subscription {
  readonly subscription: number;
  readonly nodeRank: number;
  /** Asked for and not sent yet. */
  readonly want: ChunkSet;
  /** Bytes that may be on their way over all connections. */
  readonly creditBytes: number;
  readonly connections: ReadonlyMap<number, SenderConnection>;
  /** Last acknowledgement or other sign that bytes arrive, on any connection. */
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

/** Bytes on their way over all connections of a subscription. */
export function unacknowledgedBytesOf({ connections }: Subscription): number {
  let sum = 0;
  for (const { unacknowledgedBytes } of connections.values()) sum += unacknowledgedBytes;
  return sum;
}

/** A connection over which nothing was sent yet. */
export function freshConnection(connection: number, nowMs: number): SenderConnection {
  return { connection, unacknowledged: new Map(), unacknowledgedBytes: 0, heardMs: nowMs };
}

/** With a chunk on its way. */
export function sending(connection: SenderConnection, chunk: number, nbytes: number, nowMs: number): SenderConnection {
  const { unacknowledged, unacknowledgedBytes, heardMs } = connection;
  return {
    ...connection,
    unacknowledged: new Map(unacknowledged).set(chunk, nbytes),
    unacknowledgedBytes: unacknowledgedBytes + nbytes,
    // The clock of silence starts with the first chunk on its way: who waits for us is not slow.
    heardMs: unacknowledged.size === 0 ? nowMs : heardMs,
  };
}

/** Without a chunk that has arrived; null when it was not on its way here. */
export function acknowledging(connection: SenderConnection, chunk: number, nowMs: number): SenderConnection | null {
  const nbytes = connection.unacknowledged.get(chunk);
  if (nbytes === undefined) return null;
  const unacknowledged = new Map(connection.unacknowledged);
  unacknowledged.delete(chunk);
  return { ...connection, unacknowledged, unacknowledgedBytes: connection.unacknowledgedBytes - nbytes, heardMs: nowMs };
}
