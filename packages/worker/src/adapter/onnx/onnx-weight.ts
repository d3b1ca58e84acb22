/** One weight that a session is fed with. */
import { type DType, type ForeignTensor, Parameter, Storage, Tensor, type TensorArray } from "@rankcast/core";
import { nativeMemory } from "@rankcast/core/runtime";
import { type OnnxTensor, onnxTensor } from "./onnx-library.ts";

/** Holds what the next run is fed with. Looks at the loaded memory itself. */
export class OnnxWeight implements ForeignTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  #value: Tensor;
  #fed: OnnxTensor | undefined;

  constructor(dtype: DType, shape: readonly number[]) {
    this.dtype = dtype;
    this.shape = shape;
    const { nbytes } = Parameter.meta(dtype, shape, { requiresGrad: false }).tensor;
    this.#value = new Tensor({ dtype, shape, storage: Storage.allocate(nbytes) });
  }

  version(): unknown {
    return this.#value;
  }

  read(): Tensor {
    return this.#value;
  }

  write(tensor: Tensor): Tensor {
    this.#value = inPlainMemory(tensor.contiguous());
    this.#fed = undefined;
    return this.#value;
  }

  /** The library's tensor over the value; made once per load. */
  get fed(): OnnxTensor {
    this.#fed ??= onnxTensor(this.dtype as OnnxTensor["type"], this.#value.data as never, this.shape);
    return this.#fed;
  }
}

/** onnxruntime-node refuses shared buffers: a mapped segment is shown through another view, what this process has read is copied. */
function inPlainMemory(tensor: Tensor): Tensor {
  const { buffer, byteOffset, nbytes } = tensor.storage;
  if (!(buffer instanceof SharedArrayBuffer)) return tensor;
  const view = nativeMemory(false)?.plainView(buffer);
  if (view) {
    const { dtype, shape, stride, storageOffset } = tensor;
    return new Tensor({ dtype, shape, stride, storageOffset, storage: new Storage(view.buffer, byteOffset - view.byteOffset, nbytes) });
  }
  const { data } = tensor;
  return Tensor.from(data.slice() as TensorArray, tensor.shape, { dtype: tensor.dtype });
}
