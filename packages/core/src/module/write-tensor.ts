/** The one place where loading moves tensor bytes. */
import { copyInto } from "../tensor/copy.ts";
import { bytesOf, type DType } from "../tensor/dtype.ts";
import { enforceMaterialisable } from "../tensor/materialise.ts";
import { Storage } from "../tensor/storage.ts";
import { Tensor } from "../tensor/tensor.ts";

/**
 * Writes the values of `source` into the memory of `target`: equal shapes, any strides, cast as torch's `copy_` does.
 * @throws {TensorError} as `copyInto`; planning has ruled all of it out.
 */
export function writeTensor(target: Tensor, source: Tensor): void {
  copyInto(target, source);
}

/**
 * A row-major tensor of type `dtype` in new memory with the values of `source`; without memory when the source has none.
 * @throws {FormatError} RANKCAST_LIMIT when the tensor is far larger than the bytes behind it.
 */
export function castedCopy(
  source: Tensor,
  dtype: DType,
  allocate: (sizeBytes: number) => Storage = (sizeBytes) => Storage.allocate(sizeBytes),
): Tensor {
  const sizeBytes = bytesOf(dtype, source.elementCount);
  const { shape, savedDevice } = source;
  if (source.isMeta) return new Tensor({ dtype, shape, storage: new Storage(null, 0, sizeBytes), savedDevice });
  enforceMaterialisable(source);
  const target = new Tensor({ dtype, shape, storage: allocate(sizeBytes), savedDevice });
  writeTensor(target, source);
  return target;
}
