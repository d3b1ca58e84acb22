/** Tapped connections that stand between two messages, by what they are connected to. */
import type { OnReadOpts, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TappedConnection } from "./tapped-connection.ts";

/** Servers close idle connections after five seconds and more; one that is about to be closed is worse than a new one. */
const IDLE_MS = 2_000;

interface Idle {
  readonly connection: TappedConnection;
  readonly sinceMs: number;
}

/** Owns connections until they are closed. */
export class ConnectionPool {
  readonly #all = new Set<TappedConnection>();
  readonly #idle = new Map<string, Idle[]>();
  #closed = false;

  /** A connection to `name` that stands ready for the next request; null when there is none. */
  idle(name: string): Duplex | null {
    for (let idle = this.#idle.get(name)?.pop(); idle !== undefined; idle = this.#idle.get(name)?.pop()) {
      if (idle.connection.isOpen && performance.now() - idle.sinceMs < IDLE_MS) return idle.connection.begin();
      idle.connection.destroy();
    }
    return null;
  }

  /** A connection for the next request to `name`: an idle one, else a new one by `connect`. */
  begin(name: string, connect: (onread: OnReadOpts) => Socket): Duplex {
    const idle = this.idle(name);
    if (idle !== null) return idle;
    const connection = new TappedConnection(
      (onread) => {
        const socket = connect(onread);
        socket.once("close", () => this.#all.delete(connection));
        return socket;
      },
      (each) => this.#shelve(name, each),
    );
    this.#all.add(connection);
    return connection.begin();
  }

  /** Closes all of them. */
  close(): void {
    this.#closed = true;
    this.#idle.clear();
    for (const each of this.#all) each.destroy();
  }

  #shelve(name: string, connection: TappedConnection): void {
    if (this.#closed) {
      connection.destroy();
      return;
    }
    const shelf = this.#idle.get(name) ?? [];
    shelf.push({ connection, sinceMs: performance.now() });
    this.#idle.set(name, shelf);
  }
}
