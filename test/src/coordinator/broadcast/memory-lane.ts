/** A lane inside one process, with faults: what the other side hears is decided here. */
import type { BoundLane, Lane, LaneConnection, LaneListener } from "@rankcast/coordinator/internal";

/** What happens to bytes on their way. */
export interface Wire {
  /** Bytes of this direction before these. */
  readonly at: number;
  /** Which connection to this address it is, from 0. */
  readonly connection: number;
  readonly address: string;
  readonly toReceiver: boolean;
}

/** Gives the pieces that arrive; `cut` after the last of them closes the connection on both sides. */
export type Tamper = (bytes: Buffer, wire: Wire) => { readonly pieces: readonly Buffer[]; readonly cut?: boolean };

/** Faults of a lane, and what it carried. */
export class MemoryLane implements Lane {
  readonly #listening: Map<string, (connection: LaneConnection) => void>;
  readonly #dialled = new Map<string, number>();
  readonly #tamper: Tamper;
  /** Bytes that arrived at receivers. */
  receivedBytes = 0;

  /** `network`: another lane whose nodes can be reached over this one, with faults of its own. */
  constructor(tamper: Tamper = (bytes) => ({ pieces: [bytes] }), network?: MemoryLane) {
    this.#tamper = tamper;
    this.#listening = network ? network.#listening : new Map();
  }

  /** Connections that were opened to an address. */
  connections(address: string): number {
    return this.#dialled.get(address) ?? 0;
  }

  async listen(address: string, onConnection: (connection: LaneConnection) => void): Promise<BoundLane> {
    this.#listening.set(address, onConnection);
    return { address, port: 0, close: async () => void this.#listening.delete(address) };
  }

  async connect(address: string): Promise<LaneConnection> {
    const accept = this.#listening.get(address);
    if (accept === undefined) throw new Error("nobody is there");
    const connection = this.connections(address);
    this.#dialled.set(address, connection + 1);
    const near = new End();
    const far = new End();
    const carry = (from: End, to: End, toReceiver: boolean): void => {
      let at = 0;
      from.carry = (bytes) => {
        const { pieces, cut = false } = this.#tamper(bytes, { at, connection, address, toReceiver });
        at += bytes.length;
        for (const piece of pieces) {
          if (toReceiver) this.receivedBytes += piece.length;
          to.hear(piece);
        }
        if (!cut) return;
        from.close("reset");
        to.close("reset");
      };
      from.onDestroy = () => to.close("the other node closed the connection");
    };
    carry(near, far, false);
    carry(far, near, true);
    accept(far);
    return near;
  }
}

class End implements LaneConnection {
  readonly roundTripMs = null;
  carry: (bytes: Buffer) => void = () => undefined;
  onDestroy: () => void = () => undefined;
  #listener: LaneListener | null = null;
  #open = true;
  #waiting: Buffer[] = [];

  start(listener: LaneListener): void {
    this.#listener = listener;
    for (const bytes of this.#waiting.splice(0)) listener.onBytes(bytes);
  }

  write(parts: readonly Uint8Array[], written: () => void): void {
    const bytes = Buffer.concat(parts);
    setImmediate(() => {
      if (!this.#open) return;
      this.carry(bytes);
      written();
    });
  }

  destroy(): void {
    if (!this.#open) return;
    this.close("destroyed");
    setImmediate(() => this.onDestroy());
  }

  hear(bytes: Buffer): void {
    if (!this.#open) return;
    if (this.#listener) this.#listener.onBytes(bytes);
    else this.#waiting.push(bytes);
  }

  close(reason: string): void {
    if (!this.#open) return;
    this.#open = false;
    setImmediate(() => this.#listener?.onClose(reason));
  }
}
