/** The narrow waist of the data plane: an authenticated stream of bytes between two nodes. Faults are injected by substitution. */

/** Hears what a connection does. */
export interface LaneListener {
  /** The next bytes, in pieces of any size. The memory is used again after the call. */
  onBytes(bytes: Uint8Array): void;
  /** Once, when nothing more will come; also after `destroy`. */
  onClose(reason: string): void;
}

/** One connection. */
export interface LaneConnection {
  /** How long the other side took to answer the first packet; null where nobody can tell. Dialled connections only. */
  readonly roundTripMs: number | null;
  /** Begins delivery; called once. */
  start(listener: LaneListener): void;
  /** Sends the parts in order. They must stay as they are until `written`, which is not called when the connection closes before. */
  write(parts: readonly Uint8Array[], written: () => void): void;
  /** Ends it at once. Safe to call twice. */
  destroy(): void;
}

/** A bound lane. */
export interface BoundLane {
  /** As given, with the port that was found. */
  readonly address: string;
  readonly port: number;
  close(): Promise<void>;
}

/** How nodes reach each other. */
export interface Lane {
  /** @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE and what authentication refuses. */
  connect(address: string): Promise<LaneConnection>;
  /** @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE when the address cannot be bound. */
  listen(address: string, onConnection: (connection: LaneConnection) => void): Promise<BoundLane>;
}
