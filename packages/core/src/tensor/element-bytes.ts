/** The logical elements of a tensor as bytes, piece by piece: for digests and for writing files. */
import { gatherContiguous, gatherInto } from "./copy.ts";
import { bytesOf, traitsOf } from "./dtype.ts";
import { enforceMaterialisable, type MaterialiseLimits } from "./materialise.ts";
import { Storage } from "./storage.ts";
import { beginByte, isPlain, narrowView, rowMajorBlocks, type StridedView } from "./strided-view.ts";
import { elementCount } from "./strides.ts";

/** Bytes of one piece that is a window of the tensor itself: far below Node 20's 4 GiB per view, large enough for the calls not to show. */
const WINDOW_BYTES = 16 * 2 ** 20;
/** Bytes of scratch for a tensor that is not row-major. */
const SCRATCH_BYTES = 2 ** 20;

/**
 * Yields the elements row-major and little-endian, lazy flags applied. A piece is valid until the next one is asked for: it is a window of
 * the tensor, or scratch that is used again (at most 1 MiB, however large the tensor).
 * @throws {FormatError} RANKCAST_LIMIT when the tensor is far larger than the bytes behind it.
 * @throws {TensorError} RANKCAST_TENSOR_META when there are no bytes.
 */
export function* elementBytes(view: StridedView, limits?: MaterialiseLimits): Generator<Uint8Array> {
  enforceMaterialisable(view, limits);
  const count = elementCount(view.shape);
  if (isPlain(view)) {
    yield* windows(view.storage, beginByte(view), bytesOf(view.dtype, count));
  } else if (traitsOf(view.dtype).bits % 8 !== 0 || view.storage.buffer === null) {
    // Packed elements do not start on byte borders, so their blocks would not either.
    const storage = gatherContiguous(view, limits);
    yield* windows(storage, 0, storage.nbytes);
  } else {
    const itemBytes = bytesOf(view.dtype, 1);
    const scratch = Storage.allocate(Math.min(SCRATCH_BYTES, count * itemBytes));
    for (const block of rowMajorBlocks(view.shape, SCRATCH_BYTES / itemBytes)) {
      gatherInto(narrowView(view, block), scratch);
      yield scratch.bytes(0, block.count * itemBytes);
    }
  }
}

function* windows(storage: Storage, begin: number, nbytes: number): Generator<Uint8Array> {
  for (let at = 0; at < nbytes; at += WINDOW_BYTES) yield storage.bytes(begin + at, Math.min(WINDOW_BYTES, nbytes - at));
}
