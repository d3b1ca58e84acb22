/** A tensor with its values as another element type. */
import { requireConvertible } from "./convert.ts";
import { copyInto } from "./copy.ts";
import { bytesOf, type DType } from "./dtype.ts";
import { enforceMaterialisable, type MaterialiseLimits } from "./materialise.ts";
import { Storage } from "./storage.ts";
import { Tensor } from "./tensor.ts";

/** How `castTensor` makes its result. */
export interface CastOptions {
  readonly limits?: MaterialiseLimits;
  /** Put the result into shared memory, so that other threads can have it without a copy. */
  readonly shared?: boolean;
}

/**
 * The values of `tensor` as `dtype`, row-major in fresh memory; the tensor itself when it has that type already, and a meta tensor for a meta tensor. Rounding, overflow,
 * truncation and dropped imaginary parts are torch's (see `convertElements`); ask `describeCast` or `measureCast` first when loss matters.
 * @throws {TensorError} RANKCAST_TENSOR_DTYPE when the conversion is not defined.
 * @throws {FormatError} RANKCAST_LIMIT when the tensor is far larger than the bytes behind it.
 */
export function castTensor(tensor: Tensor, dtype: DType, options: CastOptions = {}): Tensor {
  if (tensor.dtype === dtype) return tensor;
  requireConvertible(tensor.dtype, dtype);
  const { shape, savedDevice, requiresGrad, elementCount } = tensor;
  enforceMaterialisable(tensor, options.limits);
  const storage = tensor.isMeta
    ? new Storage(null, 0, bytesOf(dtype, elementCount))
    : Storage.allocate(bytesOf(dtype, elementCount), { shared: options.shared ?? false });
  const cast = new Tensor({ dtype, shape, storage, savedDevice, requiresGrad });
  if (!tensor.isMeta) copyInto(cast, tensor);
  return cast;
}
