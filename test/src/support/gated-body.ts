/** Bodies of which the rest is sent only when the test says so. */
import type { IncomingMessage, ServerResponse } from "node:http";

/** A file that is served up to a byte, and on from there after `open()`. */
export class GatedBody {
  /** Connections that were closed by the other side while the gate was closed. */
  dropped = 0;
  readonly #bytes: Uint8Array;
  readonly #firstBytes: number;
  readonly #ranges: boolean;
  readonly #opened: Promise<void>;
  #open: () => void = () => undefined;

  /** Bytes before `firstBytes` are served at once. Without `ranges` the server sends the whole file to every request. */
  constructor(bytes: Uint8Array, firstBytes: number, ranges = false) {
    this.#bytes = bytes;
    this.#firstBytes = firstBytes;
    this.#ranges = ranges;
    this.#opened = new Promise((resolve) => {
      this.#open = resolve;
    });
  }

  /** Lets the rest go. */
  open(): void {
    this.#open();
  }

  /** The route's handler. */
  get handler(): (request: IncomingMessage, response: ServerResponse, index?: number) => void {
    return (request, response) => void this.#serve(request, response);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const range = this.#ranges ? /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") : null;
    const begin = range ? Number(range[1]) : 0;
    const end = range?.[2] ? Math.min(Number(range[2]) + 1, this.#bytes.length) : this.#bytes.length;
    const headers = { etag: '"gated"', "content-type": "application/octet-stream", "content-length": end - begin };
    if (range) response.writeHead(206, { ...headers, "content-range": `bytes ${begin}-${end - 1}/${this.#bytes.length}` });
    else response.writeHead(200, headers);
    const first = Math.min(Math.max(this.#firstBytes, begin), end);
    if (first > begin) response.write(this.#bytes.subarray(begin, first));
    else response.flushHeaders();
    let isOpen = false;
    response.on("close", () => {
      if (!isOpen) this.dropped += 1;
    });
    if (first < end) await this.#opened;
    isOpen = true;
    response.end(this.#bytes.subarray(first, end));
  }
}
