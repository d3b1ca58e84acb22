/** A run of bytes that one or more tensors look at. */

import { constants } from "node:buffer";
import { TensorError } from "../errors/checkpoint-error.ts";
import { allocateOwn, allocateShared } from "./allocate-buffer.ts";

/** One view cannot show more; 4 GiB on Node 20. */
const VIEW_BYTES_MAX = constants.MAX_LENGTH;

/**
 * Bytes behind tensors, usually a window of a shared segment. Two tensors with the same `Storage` object alias each other.
 * A storage of a meta tensor has `buffer === null`: its size is known, its bytes are not.
 */
export class Storage {
  /** The memory; a `SharedArrayBuffer` when it comes from a segment (a mapped `ArrayBuffer` where the engine has no shared memory). */
  readonly buffer: ArrayBufferLike | null;
  /** Where the storage starts in `buffer`. */
  readonly byteOffset: number;
  readonly nbytes: number;

  /** @throws {TensorError} RANKCAST_TENSOR_BOUNDS when the storage reaches outside its buffer. */
  constructor(buffer: ArrayBufferLike | null, byteOffset: number, nbytes: number) {
    if (buffer !== null && !(byteOffset >= 0 && nbytes >= 0 && byteOffset + nbytes <= buffer.byteLength)) {
      throw new TensorError(
        "RANKCAST_TENSOR_BOUNDS",
        `[${byteOffset}, ${byteOffset + nbytes}) leaves a buffer of ${buffer.byteLength} bytes`,
        {
          details: { byteOffset, storageBytes: nbytes, bufferBytes: buffer.byteLength },
        },
      );
    }
    this.buffer = buffer;
    this.byteOffset = byteOffset;
    this.nbytes = nbytes;
  }

  /**
   * A storage of fresh zeroed bytes; `shared` makes it visible to threads without copying.
   * @throws {TensorError} RANKCAST_MEMORY_FULL when the process gets not that much.
   */
  static allocate(nbytes: number, options: { readonly shared?: boolean } = {}): Storage {
    return new Storage(options.shared ? allocateShared(nbytes) : allocateOwn(nbytes), 0, nbytes);
  }

  /**
   * A window of the bytes, `begin` inclusive. No copy.
   * @throws {TensorError} RANKCAST_TENSOR_META when the storage has no bytes, RANKCAST_TENSOR_BOUNDS when the window leaves it,
   * RANKCAST_STORAGE_TOO_LARGE when the window is larger than one view can be (4 GiB on Node 20; use several windows).
   */
  bytes(begin = 0, length = this.nbytes - begin): Uint8Array {
    const { buffer, nbytes } = this;
    if (buffer !== null && begin >= 0 && length >= 0 && begin + length <= nbytes && length <= VIEW_BYTES_MAX) {
      return new Uint8Array(buffer, this.byteOffset + begin, length);
    }
    throw this.#refuseWindow(begin, length);
  }

  #refuseWindow(begin: number, length: number): TensorError {
    const details = { begin, length, storageBytes: this.nbytes };
    if (this.buffer === null) return new TensorError("RANKCAST_TENSOR_META", "a meta storage has a size but no bytes", { details });
    if (length > VIEW_BYTES_MAX && begin + length <= this.nbytes) {
      return new TensorError("RANKCAST_STORAGE_TOO_LARGE", `a window of ${length} bytes is above this Node's limit of ${VIEW_BYTES_MAX}`, {
        details: { ...details, allowed: VIEW_BYTES_MAX },
        remedy: "Ask for several smaller windows.",
      });
    }
    const text = `[${begin}, ${begin + length}) leaves a storage of ${this.nbytes} bytes`;
    return new TensorError("RANKCAST_TENSOR_BOUNDS", text, { details });
  }
}
