/**
 * The bytes of a tensor that was read, to be known again. Tensors of one shape differ in the key of their storage and in the slots that nobody reads:
 * a short loop over the bytes finds that out, where reading them opcode by opcode is a hundred steps.
 */
import type { TensorRef } from "../manifest/checkpoint-tree.ts";
import type { MemoReads } from "./memo-reads.ts";
import type { PlainStorage } from "./plain-tensors.ts";

const DIGIT_0 = 0x30;

/** Where in a run of bytes is what differs. Offsets from its first byte. */
export interface RunGaps {
  /** First digit of the key, and how many there are. */
  readonly keyAt: number;
  readonly keyDigits: number;
  /** Slots of four bytes. */
  readonly slotsAt: readonly number[];
  /** Values that are memoized: as many slots as above, or all in the slots that are next. */
  readonly puts: number;
}

/** See the module. Written anew for other bytes rather than made anew. */
export class PlainRun {
  /** The tensor that was read; those that are known again have its layout. */
  tensor: TensorRef;
  /** What its storage is like. */
  storage: PlainStorage;
  nbytes = 0;
  puts = 0;
  private readonly image: Uint8Array;
  /** 0 where bytes may differ. */
  private readonly mask: Uint8Array;
  private keyAt = 0;
  private keyDigits = 0;
  private slotsAt: readonly number[] = [];

  /** Of no bytes yet; `capacity` is the most there can be. */
  constructor(capacity: number, tensor: TensorRef, storage: PlainStorage) {
    this.image = new Uint8Array(capacity);
    this.mask = new Uint8Array(capacity);
    this.tensor = tensor;
    this.storage = storage;
  }

  /** Becomes `[begin, end)` of `bytes`, of which `tensor` was made. */
  record(bytes: Uint8Array, begin: number, end: number, gaps: RunGaps): void {
    this.nbytes = end - begin;
    this.puts = gaps.puts;
    this.keyAt = gaps.keyAt;
    this.keyDigits = gaps.keyDigits;
    this.slotsAt = [...gaps.slotsAt];
    this.image.set(bytes.subarray(begin, end));
    this.mask.fill(0xff, 0, this.nbytes);
    this.mask.fill(0, gaps.keyAt, gaps.keyAt + gaps.keyDigits);
    for (const at of gaps.slotsAt) this.mask.fill(0, at, at + 4);
  }

  /**
   * The key when the bytes at `begin` say the same but for key and slots, and none of the slots is among `reads`; else -1.
   * `next` is the slot that is filled next.
   */
  keyAmong(bytes: Uint8Array, begin: number, reads: MemoReads, next: number): number {
    const { image, mask, nbytes, slotsAt } = this;
    for (let at = 0; at < nbytes; at += 1) {
      if ((((bytes[begin + at] as number) ^ (image[at] as number)) & (mask[at] as number)) !== 0) return -1;
    }
    if (slotsAt.length < this.puts && next < reads.end) return -1;
    for (let each = 0; each < slotsAt.length; each += 1) {
      const at = begin + (slotsAt[each] as number);
      const high = (bytes[at + 2] as number) + 256 * (bytes[at + 3] as number);
      const slot = (bytes[at] as number) + 256 * (bytes[at + 1] as number) + 65536 * high;
      if (slot < reads.end && reads.has(slot)) return -1;
    }
    return keyOf(bytes, begin + this.keyAt, this.keyDigits);
  }
}

/** The number of so many decimal digits; -1 when they are none, or none that are canonical. */
export function keyOf(bytes: Uint8Array, begin: number, digits: number): number {
  if (digits > 1 && bytes[begin] === DIGIT_0) return -1;
  let key = 0;
  for (let at = begin; at < begin + digits; at += 1) {
    const digit = (bytes[at] as number) - DIGIT_0;
    if (digit < 0 || digit > 9) return -1;
    key = key * 10 + digit;
  }
  return key;
}
