/**
 * The door of a node's ranks: one socket, on which gRPC connections and lanes are told apart by their first byte. Until a connection has said what it
 * is, it costs a socket and 40 bytes, for a bounded time, and a flood of those that say nothing pushes out those that say nothing.
 */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { DistributionError } from "@rankcast/core";
import { LANE_MAGIC, LANE_TICKET_BYTES } from "@rankcast/proto";

/** Bounds of a door. */
export interface DoorLimits {
  /** Time to say what a connection is. */
  readonly silenceMs: number;
  /** Connections in that state; one more pushes out the oldest. */
  readonly strangers: number;
}

/** A rank's event loop may be blocked between dialling and its first byte, while its program is imported; some hundred ranks of a node dial at once. */
export const DOOR_LIMITS: DoorLimits = { silenceMs: 30_000, strangers: 1024 };

/** What comes through. */
export interface DoorListener {
  /** A connection that is no lane; not one of its bytes has been taken. */
  onStream(socket: Socket): void;
  /** A connection that shows a ticket. What comes next belongs to who takes it; false: nobody does. */
  onLane(socket: Socket, ticket: Buffer): boolean;
}

/** A bound door. */
export interface RankDoor {
  /** Takes nothing more, and turns away those that have not said what they are. */
  shut(): void;
  /** Cuts the lanes that are left. */
  cut(): void;
}

/**
 * Binds a door at `address` (`unix:/path`).
 * @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE when the address cannot be bound.
 */
export async function openRankDoor(address: string, listener: DoorListener, limits: Partial<DoorLimits> = {}): Promise<RankDoor> {
  const hall = new Hall(listener, { ...DOOR_LIMITS, ...limits });
  const server = createServer((socket) => hall.take(socket));
  try {
    server.listen({ path: address.replace(/^unix:/, "") });
    await once(server, "listening");
  } catch (cause) {
    throw new DistributionError("RANKCAST_COORDINATOR_UNREACHABLE", `cannot listen on ${address}`, { details: { address }, cause });
  }
  return {
    shut() {
      server.close();
      hall.clear();
    },
    cut: () => hall.cut(),
  };
}

/** Between the door and who takes a connection. */
class Hall {
  readonly #listener: DoorListener;
  readonly #limits: DoorLimits;
  /** Oldest first. */
  readonly #strangers = new Map<Socket, NodeJS.Timeout>();
  readonly #lanes = new Set<Socket>();

  constructor(listener: DoorListener, limits: DoorLimits) {
    this.#listener = listener;
    this.#limits = limits;
  }

  take(socket: Socket): void {
    if (this.#strangers.size >= this.#limits.strangers) this.#turnAway(this.#strangers.keys().next().value);
    this.#strangers.set(
      socket,
      setTimeout(() => this.#turnAway(socket), this.#limits.silenceMs),
    );
    socket.once("close", () => this.#forget(socket));
    // What ends a connection is heard as its close.
    socket.on("error", ignore);
    this.#await(socket, 1, (first) => {
      socket.unshift(first);
      if (first[0] === LANE_MAGIC[0]) this.#await(socket, LANE_MAGIC.length + LANE_TICKET_BYTES, (bytes) => this.#admit(socket, bytes));
      else if (this.#forget(socket)) {
        socket.off("error", ignore);
        this.#listener.onStream(socket);
      }
    });
  }

  clear(): void {
    for (const socket of [...this.#strangers.keys()]) this.#turnAway(socket);
  }

  cut(): void {
    for (const socket of [...this.#lanes]) socket.destroy();
  }

  /** Waits for exactly so many bytes; a connection that ends before has said nothing. */
  #await(socket: Socket, count: number, then: (bytes: Buffer) => void): void {
    if (!this.#strangers.has(socket)) return;
    const bytes: Buffer | null = socket.read(count);
    if (bytes?.length === count) then(bytes);
    else if (bytes !== null || socket.readableEnded) this.#turnAway(socket);
    else socket.once("readable", () => this.#await(socket, count, then));
  }

  #admit(socket: Socket, bytes: Buffer): void {
    if (!this.#forget(socket)) return;
    this.#lanes.add(socket);
    socket.once("close", () => this.#lanes.delete(socket));
    const isOurs = bytes.subarray(0, LANE_MAGIC.length).equals(LANE_MAGIC);
    if (!isOurs || !this.#listener.onLane(socket, bytes.subarray(LANE_MAGIC.length))) socket.destroy();
  }

  /** False when it was no stranger any more: it has been turned away. */
  #forget(socket: Socket): boolean {
    clearTimeout(this.#strangers.get(socket));
    return this.#strangers.delete(socket);
  }

  #turnAway(socket: Socket | undefined): void {
    if (socket === undefined) return;
    this.#forget(socket);
    socket.destroy();
  }
}

function ignore(): void {
  // See where it listens.
}
