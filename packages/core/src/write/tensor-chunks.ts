/** The bytes of tensors and storages in pieces that fit memory and Node's views. */

import { bytesOf } from "../tensor/dtype.ts";
import type { Storage } from "../tensor/storage.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** One view; a Node 20 byte view may not exceed 4 GiB, and a smaller one lets checksum and write follow each other while the bytes are hot. */
const CHUNK_BYTES = 16 * 2 ** 20;

/** A window of a storage, piece by piece, without copying. */
export function* storageChunks(storage: Storage, begin = 0, end: number = storage.nbytes): Generator<Uint8Array> {
  for (let at = begin; at < end; at += CHUNK_BYTES) yield storage.bytes(at, Math.min(CHUNK_BYTES, end - at));
}

/** The logical elements row-major, lazy flags applied. A tensor that is not contiguous is copied, and its copy freed when the pieces are used. */
export function* elementChunks(tensor: Tensor): Generator<Uint8Array> {
  const flat = tensor.contiguous();
  const begin = bytesOf(flat.dtype, flat.storageOffset);
  yield* storageChunks(flat.storage, begin, begin + flat.nbytes);
}
