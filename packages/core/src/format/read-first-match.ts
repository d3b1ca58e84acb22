/** Asks formats in turn. */
import { FormatError } from "../errors/checkpoint-error.ts";
import { printable } from "../errors/quote.ts";
import type { CheckpointTree } from "../manifest/checkpoint-tree.ts";
import { type ByteSource, readBytes } from "../source/byte-source.ts";
import type { CheckpointFormat, FormatInput } from "./checkpoint-format.ts";
import { describeContent } from "./sniff.ts";

/** Bytes at the start of a file by which formats are told apart. */
export const HEAD_BYTES = 4096;
/** A zip's first local header without its name (PKWARE APPNOTE 4.3.7). */
const ZIP_HEADER_BYTES = 30;
const ZIP_SIGNATURE = 0x04034b50;
/** Enough to see a length or a local header; no checkpoint is smaller, except empty safetensors files. */
const FIRST_BYTES = ZIP_HEADER_BYTES;

/** The first `min(size, 4096)` bytes; fewer of a file that is still arriving when they tell its format. @throws {SourceError} as `readInto`. */
export async function readHead(source: ByteSource, signal?: AbortSignal): Promise<Uint8Array> {
  const wished = Math.min(source.sizeBytes, HEAD_BYTES);
  if (source.arrival === undefined) return readBytes(source, 0, wished, signal);
  const first = await readBytes(source, 0, Math.min(wished, FIRST_BYTES), signal);
  const enough = Math.max(enoughOf(first, source.sizeBytes), source.arrival.bytesAt(0));
  return readBytes(source, 0, Math.min(wished, enough), signal);
}

/** How many bytes of a file tell its format, by the first ones. A safetensors header may be all that there is to wait for. */
function enoughOf(first: Uint8Array, sizeBytes: number): number {
  const view = new DataView(first.buffer, first.byteOffset, first.length);
  if (first.length < FIRST_BYTES) return HEAD_BYTES;
  if (view.getUint32(0, true) === ZIP_SIGNATURE) return ZIP_HEADER_BYTES + view.getUint16(26, true) + view.getUint16(28, true);
  const end = view.getBigUint64(0, true) + 8n;
  return end <= BigInt(sizeBytes) ? Number(end) : HEAD_BYTES;
}

/**
 * Reads `input` by the first of `formats` that recognises its structure. A format that recognised it and then fails has the last word: no
 * other is tried, so that a damaged file is not read as something laxer.
 * @throws {FormatError} RANKCAST_UNKNOWN_FORMAT saying what the file is instead, RANKCAST_TRUNCATED for an empty one, and as the format's `read`.
 */
export async function readFirstMatch(input: FormatInput, formats: readonly CheckpointFormat[]): Promise<CheckpointTree> {
  for (const format of formats) {
    if (await format.matches(input)) return format.read(input);
  }
  const { name, sizeBytes } = input.source;
  const found = describeContent(input.head, sizeBytes);
  throw new FormatError(
    sizeBytes === 0 ? "RANKCAST_TRUNCATED" : "RANKCAST_UNKNOWN_FORMAT",
    `${printable(name)}: no checkpoint, but ${found}`,
    {
      details: { file: name, found, sizeBytes },
    },
  );
}
