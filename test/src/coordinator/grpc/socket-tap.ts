/** A socket between ranks and their coordinator that sees, holds and cuts connections one by one. */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { Heard } from "./rank-job.ts";

/** One connection that goes through. */
export interface TappedConnection {
  /** What the rank has sent so far. */
  sent(): Buffer;
  readonly isLane: boolean;
  /** The rank's end; the other one follows when it goes. */
  readonly rank: Socket;
  readonly coordinator: Socket;
}

/** See the module comment. */
export class SocketTap {
  readonly connections = new Heard<TappedConnection>();
  /** Lanes that come from now on stay at the tap. */
  holdLanes = false;
  /** When a lane comes, nothing more that the coordinator says on streams gets through until `release`. */
  holdStreamsBehindLane = false;
  /** What the coordinator says on lanes from now on never comes. */
  loseLanes = false;
  #held: (() => void)[] | null = null;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(target: string) {
    this.#server = createServer((rank) => this.#take(rank, target));
  }

  static async open(path: string, target: string): Promise<SocketTap> {
    const tap = new SocketTap(target);
    tap.#server.listen(path);
    await once(tap.#server, "listening");
    return tap;
  }

  /** Passes on what was held, in its order. */
  release(): void {
    for (const each of this.#held?.splice(0) ?? []) each();
    this.#held = null;
  }

  /** The first lane. */
  async lane(): Promise<TappedConnection> {
    for (let count = 1; ; count += 1) {
      const found = (await this.connections.count(count)).find(({ isLane }) => isLane);
      if (found) return found;
    }
  }

  close(): void {
    this.#server.close();
    for (const each of this.#sockets) each.destroy();
  }

  #take(rank: Socket, target: string): void {
    const coordinator = connect(target);
    for (const [from, to] of [
      [rank, coordinator],
      [coordinator, rank],
    ] as const) {
      this.#sockets.add(from);
      from.on("error", () => undefined);
      from.on("end", () => to.end());
      from.on("close", () => to.destroy());
    }
    const sent: Buffer[] = [];
    let isLane: boolean | null = null;
    let isHeld = false;
    rank.on("data", (bytes: Buffer) => {
      sent.push(bytes);
      if (isLane === null) {
        isLane = bytes[0] === 0x52;
        isHeld = isLane && this.holdLanes;
        if (isLane && this.holdStreamsBehindLane) this.#held ??= [];
        this.connections.add({ sent: () => Buffer.concat(sent), isLane, rank, coordinator });
      }
      if (!isHeld) coordinator.write(bytes);
    });
    coordinator.on("data", (bytes: Buffer) => {
      if (this.loseLanes && isLane) return;
      const pass = (): void => void rank.write(bytes);
      if (this.#held && !isLane) this.#held.push(pass);
      else pass();
    });
  }
}
