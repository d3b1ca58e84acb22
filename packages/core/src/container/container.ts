/** Named byte ranges inside a file. */
import type { Warning } from "../manifest/checkpoint-tree.ts";
import type { ByteSource } from "../source/byte-source.ts";

/** One record of a container. */
export interface ContainerEntry {
  readonly name: string;
  /** First payload byte in the source. */
  readonly offset: number;
  readonly storedBytes: number;
  /** Size after decoding; equals `storedBytes` for stored records. */
  readonly nbytes: number;
  readonly encoding: "stored" | "deflate";
  /** CRC-32 of the decoded bytes; null when the writer left it out (0 over a non-empty payload). */
  readonly crc32: number | null;
}

/** An opened archive: its directory is validated, its payloads are not yet read. */
export interface Container {
  readonly type: "zip" | "tar";
  readonly source: ByteSource;
  /** In the order of the archive (zip: of its central directory). */
  readonly entries: ReadonlyMap<string, ContainerEntry>;
  /** Heap that was charged for the directory; whoever keeps none of its entries gives it back. */
  readonly heapBytes: number;
  /** What was odd but acceptable: bytes behind the end, for example. */
  readonly warnings: readonly Warning[];
  /**
   * Decoded and checksum-verified bytes of a small record (a pickle, a header), all in memory.
   * @throws {FormatError} RANKCAST_CHECKSUM, RANKCAST_INFLATE; RANKCAST_LIMIT above `pickleBytes`.
   */
  read(entry: ContainerEntry, signal?: AbortSignal): Promise<Uint8Array>;
}
