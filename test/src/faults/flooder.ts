/** One flood against a head's door; ends when it has done its worst. Arguments: kind, address. Prints a JSON document. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout } from "node:timers/promises";
import { dialNode, parseLinkAddress } from "@rankcast/coordinator/internal";
import { CLUSTER_SERVICE } from "@rankcast/proto";
import { FLOODED_JOB } from "./flooded-head.js";

/** The client's preface and empty settings: RFC 9113, section 3.4. */
const HTTP2 = Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0, Buffer.alloc(0))]);
const [kind = "", address = ""] = process.argv.slice(2);
const HALF_OPEN = 2000;
const HEADER_BYTES = 65_536;
const HALF_MESSAGES = 400;
const STRANGERS = 500;
/** What a session is given before it is let go. */
const SESSION_MS = 3000;
/** A flood that nobody cuts off ends here, as one that was not cut. */
const FLOOD_MS = 30_000;
const LARGE_HEADERS = 100;

const FLOODS: Readonly<Record<string, () => Promise<object>>> = {
  "half-open connections": halfOpen,
  "streams that stay open": () => untilCut((stream) => [headers(stream)]),
  "streams that are reset at once": () => untilCut((stream) => [headers(stream), frame(3, 0, stream, uint32(8))]),
  pings: () => untilCut(() => [frame(6, 0, 0, Buffer.alloc(8))]),
  settings: () => untilCut(() => [frame(4, 0, 0, Buffer.alloc(0))]),
  "large headers": largeHeaderFields,
  "half messages": halfMessages,
  "wrong tokens": wrongTokens,
};
process.stdout.write(JSON.stringify(await FLOODS[kind]?.()));
process.exit();

/** Connections that say nothing, or half of a greeting; gives how long the last was let be. */
async function halfOpen(): Promise<object> {
  const where = parseLinkAddress(address);
  if (where.type !== "tcp") throw new Error("not a TCP address");
  const lives = await Promise.all(
    Array.from({ length: HALF_OPEN }, async (_, index) => {
      const socket = connect(where);
      socket.on("error", () => undefined);
      const beginMs = performance.now();
      if (index % 2 === 0) socket.write("RC");
      socket.resume();
      // `once` would take the error before it for the end.
      await new Promise((resolve) => socket.on("close", resolve));
      return performance.now() - beginMs;
    }),
  );
  return { longestMs: Math.round(Math.max(...lives)) };
}

async function wrongTokens(): Promise<object> {
  const codes = await Promise.all(
    Array.from({ length: STRANGERS }, (_, index) =>
      dialNode(address, "grpc", { ...FLOODED_JOB, token: `guess ${index}` }).then(
        () => "in",
        (error: { code?: string }) => error.code ?? "error",
      ),
    ),
  );
  return { in: codes.filter((code) => code === "in").length };
}

/** Messages that say they have 4 MiB and bring a byte now and then, four to a session. */
async function halfMessages(): Promise<object> {
  const begun = Buffer.concat([Buffer.from([0, 0, 64, 0, 0]), Buffer.alloc(1000)]);
  const sockets = await Promise.all(Array.from({ length: HALF_MESSAGES / 4 }, () => open()));
  for (const socket of sockets)
    for (const stream of [1, 3, 5, 7]) socket.write(Buffer.concat([headers(stream), frame(0, 0, stream, begun)]));
  for (let turn = 0; turn < 20; turn += 1) {
    for (const socket of sockets) socket.write(Buffer.concat([1, 3, 5, 7].map((stream) => frame(0, 0, stream, Buffer.alloc(1)))));
    await setTimeout(SESSION_MS / 20);
  }
  return { sessions: sockets.length };
}

/**
 * Frames as fast as they are taken, on one session, for as long as it lives: however fast the machine, the head has the last word. What comes back is
 * read, for HTTP/2 itself cuts off who does not read.
 */
async function untilCut(framesOf: (stream: number) => readonly Buffer[]): Promise<object> {
  const socket = await open();
  const endMs = performance.now() + FLOOD_MS;
  let sent = 0;
  for (; !socket.destroyed && performance.now() < endMs; sent += 1) {
    // The answers, and the cut itself, are seen in between.
    if (sent % 100 === 0) await setTimeout(0);
    await write(socket, framesOf(2 * sent + 1));
  }
  return { sent, cut: socket.destroyed };
}

/** Each is refused with its stream; whether the session is cut for it, is left to the head. */
async function largeHeaderFields(): Promise<object> {
  const socket = await open();
  let sent = 0;
  for (; sent < LARGE_HEADERS && !socket.destroyed; sent += 1) await write(socket, largeHeaders(2 * sent + 1));
  await setTimeout(SESSION_MS);
  return { sent };
}

/** Resolves when more may be written, or the socket is gone: the head may cut it at any moment, which is no error here. */
async function write(socket: Socket, frames: readonly Buffer[]): Promise<void> {
  const more = socket.write(Buffer.concat(frames));
  // Of a socket that is gone nothing is heard any more.
  if (more || socket.destroyed) return;
  await Promise.race([once(socket, "drain"), new Promise((resolve) => socket.once("close", resolve))]).catch(() => undefined);
}

/** A bare HTTP/2 connection behind the handshake. */
async function open(): Promise<Socket> {
  const socket = await dialNode(address, "grpc", FLOODED_JOB);
  socket.on("error", () => undefined);
  socket.resume();
  socket.write(HTTP2);
  return socket;
}

/** RFC 9113, section 4.1. */
function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A request for the nodes' service; its message does not come. */
function headers(stream: number): Buffer {
  return frame(1, 4, stream, block());
}

/** RFC 7541: indexed fields where the static table has them, literals that are not indexed elsewhere. */
function block(): Buffer {
  const text = (value: string): Buffer => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
  const literal = (name: string, value: string): Buffer => Buffer.concat([Buffer.from([0]), text(name), text(value)]);
  return Buffer.concat([
    Buffer.from([0x83, 0x86, 0x04]),
    text(CLUSTER_SERVICE.join.path),
    Buffer.from([0x01]),
    text("node"),
    literal("content-type", "application/grpc"),
    literal("te", "trailers"),
  ]);
}

/** One field of 64 KiB, in frames of 16 KiB. */
function largeHeaders(stream: number): Buffer[] {
  // A length above 126 goes on in groups of seven bits.
  const rest = HEADER_BYTES - 127;
  const length = Buffer.from([127, (rest & 127) | 128, ((rest >> 7) & 127) | 128, rest >> 14]);
  const whole = Buffer.concat([block(), Buffer.from([0, 3]), Buffer.from("big"), length, Buffer.alloc(HEADER_BYTES, "x")]);
  const parts = Array.from({ length: Math.ceil(whole.length / 16_000) }, (_, index) =>
    whole.subarray(index * 16_000, (index + 1) * 16_000),
  );
  return parts.map((part, index) => frame(index === 0 ? 1 : 9, index === parts.length - 1 ? 4 : 0, stream, part));
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
