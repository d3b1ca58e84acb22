/** An HTTP origin in a process of its own that sends at most so many bytes a second, over all connections. Arguments: directory, MB/s. */
import { openSync, readSync, statSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { basename, join } from "node:path";

const [directory = "", rate = "100"] = process.argv.slice(2);
const bytesPerMs = Number(rate) * 1000;
const PIECE_BYTES = 131_072;
const piece = Buffer.alloc(PIECE_BYTES);
/** When the line is free again. */
let freeMs = 0;

const server = createServer((request, response) => {
  const path = join(directory, basename(request.url ?? ""));
  const { size, mtimeMs } = statSync(path);
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
  const begin = range ? Number(range[1]) : 0;
  const end = range?.[2] ? Math.min(size, Number(range[2]) + 1) : size;
  response.writeHead(range ? 206 : 200, {
    etag: `"${size}-${mtimeMs}"`,
    "accept-ranges": "bytes",
    "content-type": "application/octet-stream",
    "content-length": end - begin,
    ...(range ? { "content-range": `bytes ${begin}-${end - 1}/${size}` } : {}),
  });
  if (request.method === "HEAD") response.end();
  else void send(response, openSync(path, "r"), begin, end);
});
server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port));

async function send(response: ServerResponse, file: number, begin: number, end: number): Promise<void> {
  for (let at = begin; at < end && !response.destroyed; ) {
    const length = Math.min(PIECE_BYTES, end - at);
    freeMs = Math.max(freeMs, performance.now()) + length / bytesPerMs;
    const waitMs = freeMs - performance.now();
    if (waitMs > 1) await new Promise((resolve) => setTimeout(resolve, waitMs));
    readSync(file, piece, 0, length, at);
    const isTaken = response.write(Buffer.from(piece.subarray(0, length)));
    if (!isTaken) await taken(response);
    at += length;
  }
  response.end();
}

/** Resolves when the response takes more, or nothing any more. */
function taken(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      response.off("drain", end).off("close", end);
      resolve();
    };
    response.on("drain", end).on("close", end);
  });
}
