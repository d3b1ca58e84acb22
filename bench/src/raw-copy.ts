/** The peer: a plain TCP copy of as many bytes, with nothing checked. Written as fast as Node allows: big writes, one read buffer. */
import { connect, createServer } from "node:net";
import type { WrittenSegment } from "@rankcast/core/internal";

const WRITE_BYTES = 4 * 2 ** 20;
const READ_BYTES = 512 * 1024;

/** Sends all of `bytes` to everybody who connects; resolves with the address. */
export function rawServe(host: string, bytes: Uint8Array): Promise<string> {
  return new Promise((resolve) => {
    const server = createServer((socket) => {
      let at = 0;
      const go = (): void => {
        while (at < bytes.length) {
          const piece = bytes.subarray(at, at + WRITE_BYTES);
          at += piece.length;
          if (!socket.write(piece)) {
            socket.once("drain", go);
            return;
          }
        }
        socket.end();
      };
      socket.on("error", () => undefined);
      go();
    });
    server.listen(0, host, () => {
      const address = server.address();
      resolve(typeof address === "object" && address ? `${host}:${address.port}` : "");
    });
  });
}

/** Takes `nbytes`, into fresh memory (a copy) or into nothing (what the sockets alone can do). */
export function rawReceive(address: string, nbytes: number, segment: WrittenSegment | null): Promise<void> {
  const [host = "", port = ""] = address.split(":");
  return new Promise((resolve, reject) => {
    let at = 0;
    const socket = connect({
      host,
      port: Number(port),
      onread: {
        buffer: Buffer.allocUnsafeSlow(READ_BYTES),
        callback(count, piece) {
          segment?.write(piece.subarray(0, count), at);
          at += count;
          return true;
        },
      },
    });
    socket.on("error", reject);
    socket.on("close", () => (at === nbytes ? resolve() : reject(new Error(`${at} of ${nbytes} bytes`))));
  });
}
