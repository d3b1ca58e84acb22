/** The counts in front of the storages of torch's old streams. A wrong one is how damage of these files shows: they have no checksums. */
import { FormatError } from "../errors/checkpoint-error.ts";
import { printable } from "../errors/quote.ts";
import type { Reading } from "../pickle/byte-reading.ts";
import type { PickleSite } from "../pickle/pickle-site.ts";
import { type ByteSource, readBytes } from "../source/byte-source.ts";

/** Bytes of a count: int64, little-endian on every machine. */
export const COUNT_BYTES = 8;
const WINDOW_BYTES = 64 * 1024;
const READS_AT_ONCE = 8;

/** One count to check. `offset` is in the source that is being read. */
export interface StorageCount {
  readonly key: string;
  readonly offset: number;
  readonly expected: number;
}

/** Checks counts one after the other. @throws {FormatError} RANKCAST_LEGACY_COUNT. */
export function* checkCounts(counts: readonly StorageCount[], site: PickleSite): Reading<void> {
  for (const count of counts) checkCount(yield { offset: count.offset, nbytes: COUNT_BYTES }, count, site);
}

/**
 * Checks the counts of a whole file: neighbours are read together, and several reads run at once, since a file may be far away.
 * @throws {FormatError} RANKCAST_LEGACY_COUNT.
 */
export async function checkCountsOf(
  source: ByteSource,
  counts: readonly StorageCount[],
  site: PickleSite,
  signal?: AbortSignal,
): Promise<void> {
  const groups = groupNeighbours(counts);
  const takeTurns = async (): Promise<void> => {
    for (let group = groups.pop(); group !== undefined; group = groups.pop()) {
      const [first] = group;
      const last = group.at(-1);
      if (first === undefined || last === undefined) continue;
      const bytes = await readBytes(source, first.offset, last.offset + COUNT_BYTES - first.offset, signal);
      for (const count of group) checkCount(bytes.subarray(count.offset - first.offset), count, site);
    }
  };
  groups.reverse();
  await Promise.all(Array.from({ length: READS_AT_ONCE }, takeTurns));
}

function groupNeighbours(counts: readonly StorageCount[]): StorageCount[][] {
  const groups: StorageCount[][] = [];
  let begin = Number.NEGATIVE_INFINITY;
  for (const count of counts) {
    if (count.offset + COUNT_BYTES - begin > WINDOW_BYTES) {
      groups.push([]);
      begin = count.offset;
    }
    groups.at(-1)?.push(count);
  }
  return groups;
}

function checkCount(bytes: Uint8Array, { key, offset, expected }: StorageCount, site: PickleSite): void {
  const found = new DataView(bytes.buffer, bytes.byteOffset, COUNT_BYTES).getBigInt64(0, true);
  if (found === BigInt(expected)) return;
  const byte = site.baseOffset + offset;
  throw new FormatError(
    "RANKCAST_LEGACY_COUNT",
    `${printable(site.file)}, byte ${byte}: storage ${key}: its header says ${found} elements, expected ${expected}; the file is corrupted or was written by several ranks at once`,
    { details: { file: site.file, record: `storage ${key}`, offset: byte, key, expected, found: String(found) } },
  );
}
