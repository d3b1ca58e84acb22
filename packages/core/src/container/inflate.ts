/** DEFLATE of a record that is in memory. Large payloads are inflated while they stream, in transfer. */
import { promisify } from "node:util";
import { type InputType, inflateRaw, inflateRawSync, type ZlibOptions } from "node:zlib";

interface Inflation {
  readonly buffer: Buffer;
  readonly engine: { readonly bytesWritten: number };
}

const inflate = promisify(inflateRaw) as unknown as (input: InputType, options: ZlibOptions) => Promise<Inflation>;
const inflateNow = inflateRawSync as unknown as (input: InputType, options: ZlibOptions) => Inflation;

/** What came out of a record. */
export type Inflated =
  | { readonly bytes: Uint8Array }
  /** Why the record is broken, as the end of a sentence. */
  | { readonly fault: string; readonly cause?: unknown };

const CHUNK_SPARE_BYTES = 64;
/** Up to here inflating takes less time than handing the work to another thread. */
const INLINE_BYTES_MAX = 64 * 1024;

/** Inflates raw DEFLATE to exactly `nbytes`; never holds more than that. Input behind the stream's end is a fault. */
export async function inflateExactly(stored: Uint8Array, nbytes: number): Promise<Inflated> {
  try {
    // zlib takes 0 for "no limit". One chunk that cannot run full makes the result the only memory that is allocated.
    const options = { maxOutputLength: Math.max(nbytes, 1), chunkSize: nbytes + CHUNK_SPARE_BYTES, info: true };
    const small = nbytes <= INLINE_BYTES_MAX && stored.length <= INLINE_BYTES_MAX;
    const { buffer, engine } = small ? inflateNow(stored, options) : await inflate(stored, options);
    if (buffer.length !== nbytes) return { fault: `it inflates to ${buffer.length} bytes, the directory says ${nbytes}` };
    if (engine.bytesWritten !== stored.length) return { fault: `${stored.length - engine.bytesWritten} bytes follow the compressed data` };
    return { bytes: buffer };
  } catch (cause) {
    const tooLarge = (cause as { code?: unknown }).code === "ERR_BUFFER_TOO_LARGE";
    return {
      fault: tooLarge ? `it inflates to more than the ${nbytes} bytes the directory says` : "the compressed data is damaged",
      cause,
    };
  }
}
