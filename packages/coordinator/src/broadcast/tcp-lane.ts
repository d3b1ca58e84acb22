/**
 * The raw lane: TCP (TLS off the machine) with the nodes' handshake. The dialling side is the one that receives, and reads into one buffer
 * that is used again: allocating per read costs more than copying.
 */
import { connect, type IpcSocketConnectOpts, type Socket, type TcpSocketConnectOpts } from "node:net";
import { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import { DistributionError } from "@rankcast/core";
import { greet } from "../link/handshake.ts";
import { type LinkKey, parseLinkAddress, protectionOf } from "../link/link-key.ts";
import { listenForLinks } from "../link/link-listener.ts";
import { clientTls } from "../link/link-tls.ts";
import type { Lane, LaneConnection, LaneListener } from "./lane.ts";

/** Large enough that a read takes what the kernel holds, small enough to stay in the cache until it is checked and copied. */
const READ_BYTES = 512 * 1024;
const DIAL_MS = 10_000;

/** The lane of a job. */
export function tcpLane(key: LinkKey): Lane {
  // One for all connections of the thread: what is read is taken before the next read begins, and one stays in the cache.
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  return {
    connect: (address) => dial(address, key, buffer),
    async listen(address, onConnection) {
      return listenForLinks({
        address,
        key,
        onLink(kind, socket) {
          if (kind === "lane") onConnection(accepted(socket));
          else socket.destroy();
        },
      });
    },
  };
}

function accepted(socket: Duplex): LaneConnection {
  return connection(socket, null, (listener) => socket.on("data", (bytes: Buffer) => listener.onBytes(bytes)));
}

function connection(socket: Duplex, roundTripMs: number | null, deliver: (listener: LaneListener) => void): LaneConnection {
  let reason = "the other node closed the connection";
  socket.on("error", (error: Error) => {
    reason = error.message;
  });
  return {
    roundTripMs,
    start(listener) {
      socket.on("close", () => listener.onClose(reason));
      // Half-open connections serve nobody here.
      socket.on("end", () => socket.destroy());
      deliver(listener);
      if (socket.destroyed) setImmediate(() => listener.onClose(reason));
    },
    write(parts, written) {
      socket.cork();
      parts.forEach((part, at) => {
        socket.write(part, at === parts.length - 1 ? (error) => error || written() : undefined);
      });
      socket.uncork();
    },
    destroy: () => void socket.destroy(),
  };
}

/** What the handshake reads from: the socket itself hands bytes out as they come. */
class HandshakeStream extends Duplex {
  readonly #socket: () => Socket;

  constructor(socket: () => Socket) {
    super();
    this.#socket = socket;
  }

  override _read(): void {
    // Bytes are pushed.
  }

  override _write(bytes: Buffer, _: string, done: (error?: Error | null) => void): void {
    this.#socket().write(bytes, done);
  }
}

async function dial(address: string, key: LinkKey, buffer: Buffer): Promise<LaneConnection> {
  const where = parseLinkAddress(address);
  const protection = where.type === "unix" ? "plain" : protectionOf(where.host, key);
  let listener: LaneListener | null = null;
  const early = new HandshakeStream(() => socket);
  const onread = {
    buffer,
    callback(count: number, bytes: Uint8Array): boolean {
      if (listener) listener.onBytes(bytes.subarray(0, count));
      else early.push(Buffer.from(bytes.subarray(0, count)));
      return true;
    },
  };
  const target: TcpSocketConnectOpts | IpcSocketConnectOpts =
    where.type === "unix" ? { path: where.path } : { host: where.host, port: where.port, noDelay: true };
  const tls = clientTls(protection, key);
  // The types of `tls.connect` do not know `onread`, which it hands to the connection below.
  const options = { ...target, onread };
  const socket: Socket = tls ? connectTls({ ...tls, ...options }) : connect(options);
  let dialledMs = performance.now();
  let roundTripMs: number | null = null;
  socket.once("lookup", () => {
    dialledMs = performance.now();
  });
  socket.once("connect", () => {
    roundTripMs = performance.now() - dialledMs;
  });
  const timer = setTimeout(() => socket.destroy(new Error(`no handshake within ${DIAL_MS} ms`)), DIAL_MS);
  // After the handshake nobody listens to the stream any more, and the connection has listeners of its own.
  early.on("error", () => undefined);
  socket.on("error", (error) => early.destroy(error));
  socket.on("close", () => early.destroy());
  try {
    await greet(early, key, "lane");
  } catch (cause) {
    socket.destroy();
    if (cause instanceof DistributionError && cause.code !== "RANKCAST_PROTOCOL") throw cause;
    throw new DistributionError(
      "RANKCAST_COORDINATOR_UNREACHABLE",
      `the node at ${address} cannot be reached: ${(cause as Error).message}`,
      {
        details: { address },
        cause,
      },
    );
  } finally {
    clearTimeout(timer);
  }
  return connection(socket, roundTripMs, (each) => {
    listener = each;
  });
}
