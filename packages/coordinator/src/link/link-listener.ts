/**
 * Where other nodes knock. A connection is handed on only after its handshake; until then it costs a socket and 101 bytes, for a second
 * and a half at most, and a flood of strangers pushes out strangers, never a node of the job.
 */
import { createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createServer as createTlsServer, type TLSSocket, type Server as TlsServer } from "node:tls";
import { CheckpointError, DistributionError } from "@rankcast/core";
import { answer, type LinkKind, MAGIC } from "./handshake.ts";
import { formatLinkAddress, isLoopback, type LinkKey, parseLinkAddress, protectionOf } from "./link-key.ts";
import { serverTls } from "./link-tls.ts";
import { addressOf, type Refusal, type RefusalReason } from "./refusals.ts";
import { NEEDS_TLS, NO_TLS } from "./wrong-protection.ts";

/** Bounds of a listener. */
export interface LinkLimits {
  /** Time for TLS and handshake together. */
  readonly handshakeMs: number;
  /** Connections in that state; one more pushes out the oldest. */
  readonly strangers: number;
  /** Connections in all. */
  readonly connections: number;
}

/**
 * 4096 nodes with a few connections each; a handshake takes milliseconds, so 256 at once are a flood. The bound begins when
 * a connection is accepted.
 */
export const LINK_LIMITS: LinkLimits = { handshakeMs: 1500, strangers: 256, connections: 16_384 };

/**
 * Connections that wait to be accepted; the kernel has a bound of its own (`net.core.somaxconn`, 4096). Who finds no room dials again after a whole
 * second: of 2000 at once that is how nodes of the job, too, came late, and 2.7 s after it dialled the last stranger was gone.
 */
const BACKLOG = 4096;

/** First byte of a TLS connection. */
const TLS_HANDSHAKE = 0x16;

/** What a listener is told. */
export interface LinkListenerOptions {
  /** `host:port` (port 0: any), or `unix:/path`. */
  readonly address: string;
  readonly key: LinkKey;
  /** Takes an authenticated connection. */
  onLink(kind: LinkKind, socket: Duplex): void;
  /** A connection was turned away; once for each. One that leaves without a word is none, as probes of a port do. */
  onRefused?(refusal: Refusal): void;
  readonly limits?: Partial<LinkLimits>;
}

/** A bound listener. */
export interface LinkListener {
  readonly address: string;
  /** Unix sockets: 0. */
  readonly port: number;
  /** Stops accepting and cuts connections that are not through yet; those that were handed on belong to who took them. */
  close(): Promise<void>;
}

/**
 * Binds a listener.
 * @throws {UsageError} RANKCAST_UNPROTECTED when it could be reached from other machines without protection.
 * @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE when the address cannot be bound; the cause says why.
 */
export async function listenForLinks(options: LinkListenerOptions): Promise<LinkListener> {
  const where = parseLinkAddress(options.address);
  const gate = new Gate(options, where.type === "unix" ? "127.0.0.1" : where.host);
  const server = createServer({ noDelay: true }, (socket) => gate.take(socket, where.type === "unix"));
  server.maxConnections = gate.limits.connections;
  server.on("drop", (dropped) => options.onRefused?.({ reason: "connections", address: addressOf(dropped ?? {}) }));
  await bind(server, where.type === "unix" ? { path: where.path } : { host: where.host, port: where.port }, options.address);
  const bound = server.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : 0;
  return {
    address: where.type === "unix" ? options.address : formatLinkAddress(where.host, port),
    port,
    close: () => {
      gate.close();
      return new Promise((resolve) => {
        server.close(() => resolve());
        // Connections that were handed on would keep `close` waiting, but they are not the listener's any more.
        server.unref();
        setImmediate(resolve);
      });
    },
  };
}

function bind(server: Server, where: { path: string } | { host: string; port: number }, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) => {
      reject(
        new DistributionError("RANKCAST_COORDINATOR_UNREACHABLE", `cannot listen on ${address}`, {
          details: { address },
          cause,
          remedy: "Choose another port or address (--rdzv-endpoint), or end what listens there.",
        }),
      );
    });
    server.listen({ ...where, backlog: BACKLOG }, () => resolve());
  });
}

/** A connection that is not through yet. */
interface Stranger {
  readonly timer: NodeJS.Timeout;
  readonly address: string;
  /** It has been turned away, and may still be there to read why. */
  told: boolean;
}

/** Lets connections through, or not. */
class Gate {
  readonly limits: LinkLimits;
  readonly #options: LinkListenerOptions;
  readonly #tls: TlsServer | null;
  /** Oldest first. */
  readonly #strangers = new Map<Socket, Stranger>();

  constructor(options: LinkListenerOptions, host: string) {
    this.limits = { ...LINK_LIMITS, ...options.limits };
    this.#options = options;
    const tls = serverTls(protectionOf(host, options.key), options.key);
    this.#tls = tls && createTlsServer(tls);
    this.#tls?.on("secureConnection", (socket) => void this.#shakeHands(socket, this.#below(socket)));
    this.#tls?.on("tlsClientError", (_, socket) => {
      this.#tell(this.#below(socket), "tls");
      socket.destroy();
    });
  }

  /** A connection has come. */
  take(socket: Socket, local: boolean): void {
    if (this.#strangers.size >= this.limits.strangers) this.#turnAway(this.#strangers.keys().next().value, "flood");
    const timer = setTimeout(() => this.#turnAway(socket, "silence"), this.limits.handshakeMs);
    this.#strangers.set(socket, { timer, address: addressOf(socket), told: false });
    const forget = (): void => void this.#forget(socket);
    socket.once("close", forget);
    socket.on("error", forget);
    socket.once("readable", () => this.#begin(socket, local));
  }

  /** Turns everybody away who is not through. */
  close(): void {
    for (const socket of [...this.#strangers.keys()]) this.#turnAway(socket, null);
  }

  /** Tells the two ways to begin apart by the first byte: plain connections come from this machine and prove the token, unless all may. */
  #begin(socket: Socket, local: boolean): void {
    const first: Buffer | null = socket.read(1);
    if (first === null) {
      if (!socket.destroyed) socket.once("readable", () => this.#begin(socket, local));
      return;
    }
    socket.unshift(first);
    if (first[0] === MAGIC[0]) {
      const { remoteAddress = "" } = socket;
      const mayBePlain =
        local || this.#options.key.insecure || (isLoopback(remoteAddress) && protectionOf(remoteAddress, this.#options.key) === "plain");
      if (mayBePlain) void this.#shakeHands(socket, socket);
      else this.#sendAway(socket, NEEDS_TLS);
    } else if (this.#tls !== null) this.#tls.emit("connection", socket);
    else if (first[0] === TLS_HANDSHAKE) this.#sendAway(socket, NO_TLS);
    else this.#turnAway(socket, "protocol");
  }

  async #shakeHands(socket: Socket, raw: Socket | undefined): Promise<void> {
    socket.on("error", ignore);
    try {
      const kind = await answer(socket, this.#options.key);
      if (!this.#forget(raw)) return;
      socket.off("error", ignore);
      this.#options.onLink(kind, socket);
    } catch (error) {
      this.#tell(raw, reasonOf(error));
      // The verdict is on its way; nothing more is read.
      socket.destroySoon();
      socket.resume();
    }
  }

  /** The TCP connection below a TLS one. */
  #below(socket: TLSSocket): Socket | undefined {
    return [...this.#strangers.keys()].find((each) => each.remotePort === socket.remotePort && each.remoteAddress === socket.remoteAddress);
  }

  /** False when it was no stranger any more: it has been turned away. */
  #forget(socket: Socket | undefined): boolean {
    if (socket === undefined) return false;
    clearTimeout(this.#strangers.get(socket)?.timer);
    return this.#strangers.delete(socket);
  }

  /** Once for each stranger. */
  #tell(socket: Socket | undefined, reason: RefusalReason): void {
    const stranger = socket && this.#strangers.get(socket);
    if (stranger === undefined || stranger.told) return;
    stranger.told = true;
    this.#options.onRefused?.({ reason, address: stranger.address });
  }

  #turnAway(socket: Socket | undefined, reason: RefusalReason | null): void {
    if (socket === undefined) return;
    if (reason !== null) this.#tell(socket, reason);
    this.#forget(socket);
    socket.destroy();
  }

  /** Tells a node of a job how it should have begun. It stays a stranger, within their bounds, until it hangs up. */
  #sendAway(socket: Socket, word: Buffer): void {
    this.#tell(socket, "unprotected");
    // What has come is thrown away: unread, it would make the kernel throw away the word instead.
    socket.resume();
    socket.end(word);
  }
}

function reasonOf(error: unknown): RefusalReason {
  const code = error instanceof CheckpointError ? error.code : null;
  if (code === "RANKCAST_TOKEN_REFUSED") return "token";
  return code === "RANKCAST_WRONG_JOB" ? "job" : "protocol";
}

function ignore(): void {
  // The handshake's own reads reject with it.
}
