/** Files and storages for transfers. */
import { crc32, deflateRawSync } from "node:zlib";
import { Storage } from "@rankcast/core";
import { type ByteSource, memorySource, type StorageDescriptor, type StoragePiece } from "@rankcast/core/internal";

/** A file put together piece by piece. */
export class FileBuilder {
  readonly #parts: Uint8Array[] = [];
  #at = 0;

  /** Appends `gap` zero bytes and the piece's bytes; gives the piece. */
  add(
    bytes: Uint8Array,
    options: { at?: number; deflate?: boolean; gap?: number; crc?: number | null; record?: string } = {},
  ): StoragePiece {
    const stored = options.deflate ? deflateRawSync(bytes) : bytes;
    this.#push(new Uint8Array(options.gap ?? 0));
    const extent = {
      type: "range",
      source: 0,
      offset: this.#at,
      storedBytes: stored.length,
      encoding: options.deflate ? "deflate" : "stored",
      crc32: options.crc === undefined ? crc32(bytes) : options.crc,
      record: options.record ?? "archive/data/0",
    } as const;
    this.#push(stored);
    return { at: options.at ?? 0, nbytes: bytes.length, extent };
  }

  #push(bytes: Uint8Array): void {
    this.#parts.push(bytes);
    this.#at += bytes.length;
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }

  source(): ByteSource {
    return memorySource(this.bytes(), "model.pt");
  }
}

/** A storage of these pieces. */
export const storageOf = (
  pieces: readonly StoragePiece[],
  nbytes: number,
  swapBytes: StorageDescriptor["swapBytes"] = 1,
): StorageDescriptor => ({
  nbytes,
  pieces,
  swapBytes,
  savedDevice: "cpu",
});

/** A storage and fresh shared memory for it. */
export function into(storage: StorageDescriptor): { readonly storage: StorageDescriptor; readonly target: Storage } {
  return { storage, target: Storage.allocate(storage.nbytes, { shared: true }) };
}

/** The two halves of a tensor along an axis. */
export function halves(shape: readonly number[], along: number): { offsets: number[]; sizes: number[] }[] {
  const axis = shape.length === 0 ? -1 : along % shape.length;
  const half = Math.floor((shape[axis] ?? 0) / 2);
  const part = (begin: number, size: number) => ({
    offsets: shape.map((_, each) => (each === axis ? begin : 0)),
    sizes: shape.map((full, each) => (each === axis ? size : full)),
  });
  return axis < 0 || half === 0 ? [part(0, shape[axis] ?? 1)] : [part(half, (shape[axis] ?? 0) - half), part(0, half)];
}

/** The dense bytes of a rectangle, element by element. */
export function gather(
  whole: Buffer,
  shape: readonly number[],
  offsets: readonly number[],
  sizes: readonly number[],
  itemBytes: number,
): Buffer {
  const parts: Buffer[] = [];
  const visit = (axis: number, element: number): void => {
    if (axis === shape.length) parts.push(whole.subarray(element * itemBytes, (element + 1) * itemBytes));
    else
      for (let step = 0; step < (sizes[axis] ?? 0); step += 1) visit(axis + 1, element * (shape[axis] ?? 1) + (offsets[axis] ?? 0) + step);
  };
  visit(0, 0);
  return Buffer.concat(parts);
}
