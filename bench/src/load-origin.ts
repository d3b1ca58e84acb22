/** A local origin for cold loads: one file, as a good static server serves it (HEAD, ranges, entity tag). */
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** A running origin. */
export interface LoadOrigin {
  readonly url: string;
  close(): void;
}

/** Serves `path` on a free port of the loopback interface. */
export async function startLoadOrigin(path: string): Promise<LoadOrigin> {
  const { size } = statSync(path);
  const server = createServer((request, response) => {
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    const begin = range ? Number(range[1]) : 0;
    const last = range?.[2] ? Math.min(Number(range[2]), size - 1) : size - 1;
    const headers = { "accept-ranges": "bytes", etag: `"${size}"`, "content-length": last - begin + 1 };
    response.writeHead(range ? 206 : 200, range ? { ...headers, "content-range": `bytes ${begin}-${last}/${size}` } : headers);
    if (request.method === "HEAD") response.end();
    else createReadStream(path, { start: begin, end: last, highWaterMark: 2 ** 20 }).pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/model.pt`;
  return { url, close: () => void server.close() };
}
