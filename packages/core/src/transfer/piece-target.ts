/** Where the decoded bytes of one piece go. */
import type { StoragePiece } from "../manifest/checkpoint-tree.ts";
import type { Storage } from "../tensor/storage.ts";

/** Takes a piece's bytes at positions counted from the piece's own start. */
export interface PieceTarget {
  readonly nbytes: number;
  /** Final memory of `[at, at + length)` when those bytes lie together there, so that they can be read straight into it; else null. */
  window(at: number, length: number): Uint8Array | null;
  /** Copies `bytes` to their final place. */
  write(at: number, bytes: Uint8Array): void;
}

/** The target of `piece` in `storage`. */
export function pieceTarget(piece: StoragePiece, storage: Storage): PieceTarget {
  if (!piece.rectangle) return new RunTarget(storage, piece.at, piece.nbytes);
  const runs = new RectangleRuns(piece.rectangle);
  return runs.count <= 1 ? new RunTarget(storage, runs.offsetOf(0), piece.nbytes) : new RectangleTarget(storage, runs, piece.nbytes);
}

class RunTarget implements PieceTarget {
  readonly nbytes: number;
  readonly #storage: Storage;
  readonly #begin: number;

  constructor(storage: Storage, begin: number, nbytes: number) {
    this.#storage = storage;
    this.#begin = begin;
    this.nbytes = nbytes;
  }

  window(at: number, length: number): Uint8Array {
    return this.#storage.bytes(this.#begin + at, length);
  }

  write(at: number, bytes: Uint8Array): void {
    this.window(at, bytes.length).set(bytes);
  }
}

/** A rectangle's rows that are contiguous in the tensor: trailing axes that the rectangle spans wholly are one row. */
class RectangleRuns {
  /** Bytes of one run. */
  readonly nbytes: number;
  readonly count: number;
  readonly #start: number;
  /** Leading axes, outermost first: how many steps, and bytes from one to the next. */
  readonly #axes: { readonly size: number; readonly step: number }[];

  constructor({ shape, offsets, sizes, itemBytes }: NonNullable<StoragePiece["rectangle"]>) {
    const steps = new Array<number>(shape.length);
    let step = itemBytes;
    for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
      steps[axis] = step;
      step *= shape[axis] ?? 1;
    }
    let inner = shape.length - 1;
    while (inner > 0 && sizes[inner] === shape[inner]) inner -= 1;
    this.nbytes = shape.length === 0 ? itemBytes : (sizes[inner] ?? 1) * (steps[inner] ?? itemBytes);
    this.#axes = sizes.slice(0, Math.max(inner, 0)).map((size, axis) => ({ size, step: steps[axis] ?? 0 }));
    this.count = this.#axes.reduce((product, { size }) => product * size, 1);
    this.#start = offsets.reduce((sum, offset, axis) => sum + offset * (steps[axis] ?? 0), 0);
  }

  /** First byte of run `index` in the storage. */
  offsetOf(index: number): number {
    let rest = index;
    let offset = this.#start;
    for (let axis = this.#axes.length - 1; axis >= 0; axis -= 1) {
      const { size, step } = this.#axes[axis] ?? { size: 1, step: 0 };
      offset += (rest % size) * step;
      rest = Math.floor(rest / size);
    }
    return offset;
  }
}

/** Below this a byte loop beats making two views. */
const LOOP_BYTES_MAX = 48;

class RectangleTarget implements PieceTarget {
  readonly nbytes: number;
  readonly #storage: Storage;
  readonly #runs: RectangleRuns;

  constructor(storage: Storage, runs: RectangleRuns, nbytes: number) {
    this.#storage = storage;
    this.#runs = runs;
    this.nbytes = nbytes;
  }

  window(at: number, length: number): Uint8Array | null {
    const { nbytes } = this.#runs;
    const within = at % nbytes;
    if (within + length > nbytes) return null;
    return this.#storage.bytes(this.#runs.offsetOf(Math.floor(at / nbytes)) + within, length);
  }

  write(at: number, bytes: Uint8Array): void {
    const { nbytes } = this.#runs;
    for (let done = 0; done < bytes.length; ) {
      const within = (at + done) % nbytes;
      const length = Math.min(nbytes - within, bytes.length - done);
      const target = this.#storage.bytes(this.#runs.offsetOf(Math.floor((at + done) / nbytes)) + within, length);
      if (length > LOOP_BYTES_MAX) target.set(bytes.subarray(done, done + length));
      else for (let each = 0; each < length; each += 1) target[each] = bytes[done + each] ?? 0;
      done += length;
    }
  }
}
