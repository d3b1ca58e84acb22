/** Opening the files that another file names. */
import { FormatError, SourceError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import type { ByteSource } from "../source/byte-source.ts";
import type { FormatInput } from "./checkpoint-format.ts";
import { readHead } from "./read-first-match.ts";

/** Headers of so many files are read at once: enough to hide the latency of a server, few enough for its patience. */
const OPEN_AT_ONCE = 8;

/**
 * A file that `input`'s entry file names.
 * @throws {FormatError} RANKCAST_INDEX_SHARD when it is not there or no file that can be read.
 */
export async function openPart(input: FormatInput, name: string): Promise<ByteSource> {
  try {
    const source = await input.siblings.open(name);
    input.heap.addFile(source);
    return source;
  } catch (cause) {
    if (!(cause instanceof SourceError) || cause.class !== "not-found") throw cause;
    const absent = cause.code === "RANKCAST_NOT_FOUND";
    const why = absent ? "is not there" : "can not be read";
    throw new FormatError("RANKCAST_INDEX_SHARD", `${input.source.name}: names ${quote(name)}, which ${why}`, {
      details: { file: input.source.name, path: name },
      ...(absent ? {} : { remedy: cause.remedy }),
      cause,
    });
  }
}

/** What a reader of the part gets: its own bytes, the same siblings and bounds, one level further in. */
export async function partInput(input: FormatInput, source: ByteSource): Promise<FormatInput> {
  const head = await readHead(source, input.signal);
  return { ...input, source, head, nesting: input.nesting + 1, early: false };
}

/** `work` on every item, some at a time; results in order. The failure of the first item that failed in order is thrown, after all have ended. */
export async function inOrder<T, R>(items: readonly T[], work: (item: T, index: number) => Promise<R>): Promise<R[]> {
  const results = new Array<R>(items.length);
  let failedAt = items.length;
  let failure: unknown;
  let next = 0;
  const run = async (): Promise<void> => {
    for (let index = next++; index < failedAt; index = next++) {
      try {
        results[index] = await work(items[index] as T, index);
      } catch (error) {
        if (index < failedAt) [failedAt, failure] = [index, error];
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(OPEN_AT_ONCE, items.length) }, run));
  if (failedAt < items.length) throw failure;
  return results;
}
