/** A run of bytes that one or more tensors look at. */

/**
 * Bytes behind tensors, usually a window of a shared segment. Two tensors with the same `Storage` object alias each other.
 * A storage of a meta tensor has `buffer === null`: its size is known, its bytes are not.
 */
export class Storage {
  /** The memory; `SharedArrayBuffer` or a mapped `ArrayBuffer` when it comes from a segment. */
  readonly buffer: ArrayBufferLike | null;
  /** Where the storage starts in `buffer`. */
  readonly byteOffset: number;
  readonly nbytes: number;

  constructor(buffer: ArrayBufferLike | null, byteOffset: number, nbytes: number) {
    this.buffer = buffer;
    this.byteOffset = byteOffset;
    this.nbytes = nbytes;
  }

  /** A storage of fresh zeroed bytes; `shared` makes it visible to threads without copying. */
  static allocate(nbytes: number, options: { readonly shared?: boolean } = {}): Storage {
    return new Storage(options.shared ? new SharedArrayBuffer(nbytes) : new ArrayBuffer(nbytes), 0, nbytes);
  }

  /**
   * A window of the bytes, `begin` inclusive. No copy.
   * @throws {RangeError} when the window leaves the storage or the storage has no bytes (meta).
   */
  bytes(begin = 0, length = this.nbytes - begin): Uint8Array {
    if (this.buffer === null) throw new RangeError("a meta storage has no bytes");
    if (begin < 0 || length < 0 || begin + length > this.nbytes)
      throw new RangeError(`[${begin}, ${begin + length}) leaves a storage of ${this.nbytes} bytes`);
    return new Uint8Array(this.buffer, this.byteOffset + begin, length);
  }
}
