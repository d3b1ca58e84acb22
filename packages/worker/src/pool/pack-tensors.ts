/** Tensors on their way between threads: each storage is copied once, into memory that the receiver sees without another copy. */
import { types } from "node:util";
import { DTYPES, type DType, type Storage, type Tensor } from "@rankcast/core";
import { nativeMemory } from "@rankcast/core/runtime";

/** A tensor over memory that both threads see. */
export interface PackedTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  storageOffset: number;
  readonly flags: { readonly conj: boolean; readonly neg: boolean; readonly requiresGrad: boolean; readonly savedDevice: string };
  /** Tensors of one storage name the same object. */
  readonly storage: PackedStorage;
}

/** `buffer` is null for a meta storage. */
export interface PackedStorage {
  buffer: SharedArrayBuffer | null;
  byteOffset: number;
  nbytes: number;
}

interface Entry {
  readonly packed: PackedStorage;
  readonly tensors: PackedTensor[];
}

/** One view at a time: Node 20 has none of 4 GiB. */
const WINDOW_BYTES = 2 ** 30;
/** What is cut off in front of the first element keeps the alignment of every type. */
const CUT_ALIGNMENT_BYTES = 16;

/** Packs the tensors of one message; two tensors of one storage alias each other at the other end, too. */
export class TensorPacker {
  readonly #entries = new Map<Storage, Entry>();

  /** Describes a tensor; its bytes are copied by `copyStorages`, when it is known which ones are needed. */
  add({ dtype, shape, stride, storageOffset, conj, neg, requiresGrad, savedDevice, storage }: Tensor): PackedTensor {
    const entry = this.#entries.get(storage) ?? { packed: { buffer: null, byteOffset: 0, nbytes: storage.nbytes }, tensors: [] };
    this.#entries.set(storage, entry);
    const flags = { conj, neg, requiresGrad, savedDevice };
    const packed = { dtype, shape, stride, storageOffset, flags, storage: entry.packed };
    entry.tensors.push(packed);
    return packed;
  }

  /**
   * Passes shared memory on and copies the rest, without the bytes of a storage that no tensor looks at. A replica's mapped weights are its own,
   * whatever kind of buffer shows them: another thread must not see it train.
   */
  copyStorages(): void {
    const native = nativeMemory(false);
    for (const [storage, entry] of this.#entries) {
      const { buffer } = storage;
      if (buffer === null) continue;
      if (types.isSharedArrayBuffer(buffer) && !native?.isMapped(buffer))
        Object.assign(entry.packed, { buffer, byteOffset: storage.byteOffset });
      else copyNeeded(storage, entry);
    }
  }
}

function copyNeeded(storage: Storage, { packed, tensors }: Entry): void {
  const { begin, end } = neededRange(tensors, storage.nbytes);
  packed.nbytes = end - begin;
  packed.buffer = new SharedArrayBuffer(packed.nbytes);
  for (let at = 0; at < packed.nbytes; at += WINDOW_BYTES) {
    const length = Math.min(WINDOW_BYTES, packed.nbytes - at);
    new Uint8Array(packed.buffer, at, length).set(storage.bytes(begin + at, length));
  }
  for (const tensor of tensors) tensor.storageOffset -= (begin * 8) / bitsOf(tensor);
}

/** Bytes that the tensors look at, as one range. */
function neededRange(tensors: readonly PackedTensor[], nbytes: number): { readonly begin: number; readonly end: number } {
  let begin = nbytes;
  let end = 0;
  for (const tensor of tensors) {
    const { shape, stride, storageOffset } = tensor;
    // Elements of less than a byte cannot be counted from another byte.
    if (bitsOf(tensor) % 8 !== 0) return { begin: 0, end: nbytes };
    const itemBytes = bitsOf(tensor) / 8;
    const empty = shape.includes(0);
    const last = shape.reduce((sum, size, axis) => sum + (size - 1) * (stride[axis] ?? 0), storageOffset);
    begin = Math.min(begin, storageOffset * itemBytes);
    end = Math.max(end, empty ? storageOffset * itemBytes : (last + 1) * itemBytes);
  }
  return { begin: begin - (begin % CUT_ALIGNMENT_BYTES), end };
}

function bitsOf({ dtype }: PackedTensor): number {
  return DTYPES.get(dtype)?.bits ?? 8;
}
