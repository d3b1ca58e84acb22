/** Checks a piece against the CRC-32 its writer stored, while the bytes are hot in the cache. */
import { crc32 } from "../checksum/crc32.ts";
import { FormatError } from "../errors/checkpoint-error.ts";
import { printable, quote } from "../errors/quote.ts";
import type { StorageExtent } from "../manifest/checkpoint-tree.ts";
import type { PoolChecksum } from "../memory/pool-checksum.ts";

/** A range in a named file. */
export interface PiecePlace {
  readonly extent: StorageExtent & { readonly type: "range" };
  /** Name of the file. */
  readonly file: string;
}

/** A CRC-32 over bytes that come in order; does nothing when there is no stored one, or checking is off. */
export class PieceChecksum {
  readonly #place: PiecePlace;
  readonly #expected: number | null;
  #found = 0;

  constructor(place: PiecePlace, verify: boolean) {
    this.#place = place;
    this.#expected = verify ? place.extent.crc32 : null;
  }

  /** Whether bytes must be shown to `update`. */
  get active(): boolean {
    return this.#expected !== null;
  }

  update(bytes: Uint8Array): void {
    if (this.#expected !== null) this.#found = crc32(bytes, this.#found);
  }

  /** The same on Node's thread pool, one call after the other. */
  async updateAside(bytes: Uint8Array, crc32Aside: PoolChecksum): Promise<void> {
    if (this.#expected !== null) this.#found = await crc32Aside(bytes, this.#found);
  }

  /** @throws {FormatError} RANKCAST_CHECKSUM when the bytes differ from what was written. */
  finish(): void {
    if (this.#expected !== null && this.#found !== this.#expected) throw checksumError(this.#place, this.#expected, this.#found);
  }
}

/** @throws {FormatError} RANKCAST_CHECKSUM when there is a stored CRC-32 and `found` is another. */
export function requireChecksum(place: PiecePlace, found: number): void {
  const { crc32: stored } = place.extent;
  if (stored !== null && found !== stored) throw checksumError(place, stored, found);
}

/** A refusal of bytes whose CRC-32 is not the stored one. */
export function checksumError(place: PiecePlace, stored: number, computed: number): FormatError {
  const expected = stored.toString(16).padStart(8, "0");
  const found = computed.toString(16).padStart(8, "0");
  return pieceError("RANKCAST_CHECKSUM", place, `CRC-32 is ${found}, the file says ${expected}`, { expected, found });
}

/** A refusal of a piece: file, record, byte offset. */
export function pieceError(
  code: "RANKCAST_CHECKSUM" | "RANKCAST_INFLATE",
  { extent, file }: PiecePlace,
  text: string,
  extra: { readonly [name: string]: string | number } = {},
  cause?: unknown,
): FormatError {
  const record = extent.record === undefined ? "" : `record ${quote(extent.record)} `;
  return new FormatError(code, `${printable(file)}: ${record}at byte ${extent.offset}: ${text}`, {
    details: { file, offset: extent.offset, ...(extent.record === undefined ? {} : { record: extent.record }), ...extra },
    ...(cause === undefined ? {} : { cause }),
  });
}
