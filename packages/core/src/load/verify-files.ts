/** Files of a checkpoint read from their beginning to their end, once: every stored checksum and the digest of the whole in one pass. */
import { createHash } from "node:crypto";
import type { StorageExtent } from "../manifest/checkpoint-tree.ts";
import type { StateDictManifest } from "../manifest/manifest.ts";
import type { ByteSource } from "../source/byte-source.ts";
import { digestMismatch } from "../source/expected-digest.ts";
import { PieceChecksum } from "../transfer/piece-checksum.ts";

/** Cancellation and progress. */
export interface VerifyFilesOptions {
  readonly signal?: AbortSignal | undefined;
  /** Bytes looked at so far, of all files. */
  readonly onBytes?: ((done: number, total: number) => void) | undefined;
}

/** Small enough that the event loop gets a turn every few milliseconds. */
const PORTION_BYTES = 4 * 2 ** 20;

/**
 * SHA-256 of every file, in the order of `sources`, which are those of `manifest`. Checks what is stored as it is; memory is two portions.
 * @throws {FormatError} RANKCAST_CHECKSUM naming file, record and offset; {SourceError} RANKCAST_HASH_MISMATCH when a file is not the one whose digest
 *   is known (from a download or the caller), RANKCAST_SOURCE_TRUNCATED, RANKCAST_SOURCE_CHANGED, RANKCAST_FILE_UNREADABLE; the signal's reason.
 */
export async function verifyFiles(
  manifest: StateDictManifest,
  sources: readonly ByteSource[],
  { signal, onBytes }: VerifyFilesOptions = {},
): Promise<string[]> {
  const total = sources.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const extents = extentsBySource(manifest);
  const digests: string[] = [];
  let done = 0;
  for (const [index, source] of sources.entries()) {
    const hash = createHash("sha256");
    const checks = new ExtentChecks(extents.get(index) ?? [], source.name);
    await readThrough(source, signal, (portion, at) => {
      checks.update(portion, at);
      hash.update(portion);
      done += portion.length;
      onBytes?.(done, total);
    });
    const sha256 = hash.digest("hex");
    const known = source.version.sha256;
    if (known !== undefined && known !== sha256) throw digestMismatch(source.name, known, sha256, "sha256");
    digests.push(sha256);
  }
  return digests;
}

type Range = StorageExtent & { readonly type: "range" };

/** Those whose checksum is over the bytes in the file. */
function extentsBySource({ storages }: StateDictManifest): Map<number, Range[]> {
  const found = new Map<number, Range[]>();
  for (const { pieces, meta } of storages) {
    for (const { extent } of meta ? [] : pieces) {
      if (extent.type !== "range" || extent.crc32 === null || extent.encoding !== "stored") continue;
      const list = found.get(extent.source) ?? [];
      found.set(extent.source, list);
      list.push(extent);
    }
  }
  return found;
}

/** Checksums of ranges of a file that comes in order. */
class ExtentChecks {
  readonly #coming: Range[];
  readonly #file: string;
  #open: { readonly extent: Range; readonly checksum: PieceChecksum }[] = [];

  constructor(extents: readonly Range[], file: string) {
    // Taken from the end.
    this.#coming = [...extents].sort((one, other) => other.offset - one.offset);
    this.#file = file;
  }

  update(portion: Uint8Array, at: number): void {
    const end = at + portion.length;
    for (let next = this.#coming.at(-1); next && next.offset < end; next = this.#coming.at(-1)) {
      this.#coming.pop();
      this.#open.push({ extent: next, checksum: new PieceChecksum({ extent: next, file: this.#file }, true) });
    }
    this.#open = this.#open.filter(({ extent, checksum }) => {
      const extentEnd = extent.offset + extent.storedBytes;
      checksum.update(portion.subarray(Math.max(extent.offset - at, 0), Math.min(extentEnd, end) - at));
      if (extentEnd > end) return true;
      checksum.finish();
      return false;
    });
  }
}

/** Shows every portion in order, in memory that is used again; the next one is read meanwhile. */
async function readThrough(
  source: ByteSource,
  signal: AbortSignal | undefined,
  show: (portion: Uint8Array, at: number) => void,
): Promise<void> {
  const size = Math.min(PORTION_BYTES, source.sizeBytes);
  const memory = [new Uint8Array(size), new Uint8Array(size)] as const;
  const read = async (at: number): Promise<Uint8Array> => {
    const portion = memory[(at / PORTION_BYTES) % 2 === 0 ? 0 : 1].subarray(0, source.sizeBytes - at);
    await source.readInto(portion, at, signal);
    return portion;
  };
  let coming = read(0);
  try {
    for (let at = 0; at < source.sizeBytes; at += PORTION_BYTES) {
      const portion = await coming;
      // Behind the last one nothing is read, but a file that has changed is noticed.
      coming = read(Math.min(at + PORTION_BYTES, source.sizeBytes));
      show(portion, at);
    }
  } finally {
    // Nobody waits for it after a failure, and the source may be closed then.
    await Promise.allSettled([coming]);
  }
  await coming;
}
