/** The files of one weight group as one run of bytes. */
import type { StoragePiece } from "../manifest/checkpoint-tree.ts";
import { type ByteSource, readBytes } from "../source/byte-source.ts";

/** One file of a group. */
export interface GroupFile {
  readonly source: ByteSource;
  /** Index among the tree's sources. */
  readonly index: number;
  /** First byte of the file in the group. */
  readonly begin: number;
}

/** Files one after the other, in the order of the manifest. */
export class GroupBytes {
  readonly sizeBytes: number;
  readonly #files: readonly GroupFile[];
  /** The file where the last range began: weights come in order, so the search starts there. */
  #near = 0;

  constructor(sources: readonly { readonly source: ByteSource; readonly index: number }[]) {
    let begin = 0;
    this.#files = sources.map(({ source, index }) => {
      const file = { source, index, begin };
      begin += source.sizeBytes;
      return file;
    });
    this.sizeBytes = begin;
  }

  /** Pieces of a storage that holds `[begin, begin + nbytes)` of the group; the range is inside the group. */
  pieces(begin: number, nbytes: number): StoragePiece[] {
    const pieces: StoragePiece[] = [];
    for (const { file, offset, length, at } of this.#parts(begin, nbytes)) {
      const extent = { type: "range", source: file.index, offset, storedBytes: length, encoding: "stored", crc32: null } as const;
      pieces.push({ at, nbytes: length, extent });
    }
    return pieces;
  }

  /** Bytes of a small range. */
  async read(begin: number, nbytes: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const parts = [...this.#parts(begin, nbytes)].map(({ file, offset, length }) => readBytes(file.source, offset, length, signal));
    return Buffer.concat(await Promise.all(parts));
  }

  *#parts(begin: number, nbytes: number): Generator<{ file: GroupFile; offset: number; length: number; at: number }> {
    const end = begin + nbytes;
    if ((this.#files[this.#near]?.begin ?? 0) > begin) this.#near = 0;
    for (let index = this.#near; index < this.#files.length; index += 1) {
      const file = this.#files[index] as GroupFile;
      const from = Math.max(begin, file.begin);
      const to = Math.min(end, file.begin + file.source.sizeBytes);
      if (file.begin >= end) return;
      if (from >= to) continue;
      if (from === begin) this.#near = index;
      yield { file, offset: from - file.begin, length: to - from, at: from - begin };
    }
  }
}
