/** Asks formats in turn. */
import { FormatError } from "../errors/checkpoint-error.ts";
import { printable } from "../errors/quote.ts";
import type { CheckpointTree } from "../manifest/checkpoint-tree.ts";
import { type ByteSource, readBytes } from "../source/byte-source.ts";
import type { CheckpointFormat, FormatInput } from "./checkpoint-format.ts";
import { describeContent } from "./sniff.ts";

/** Bytes at the start of a file by which formats are told apart. */
export const HEAD_BYTES = 4096;

/** The first `min(size, 4096)` bytes. @throws {SourceError} as `readInto`. */
export function readHead(source: ByteSource, signal?: AbortSignal): Promise<Uint8Array> {
  return readBytes(source, 0, Math.min(source.sizeBytes, HEAD_BYTES), signal);
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
