/** A typed, strided view of a storage. */
import { TensorError } from "../errors/checkpoint-error.ts";
import { COUNTS, requireArgument } from "../errors/require-options.ts";
import { copyInto, gatherContiguous } from "./copy.ts";
import { bytesOf, type DType } from "./dtype.ts";
import { decodeElement, type Scalar } from "./element.ts";
import { enforceMaterialisable, type MaterialiseLimits } from "./materialise.ts";
import { Storage } from "./storage.ts";
import { contiguousView, isPlain } from "./strided-view.ts";
import { contiguousStrides, elementCount, elementSpan, isContiguous } from "./strides.ts";
import { dtypeOfArray, isAligned, type TensorArray, typedArrayOver } from "./typed-array.ts";

/** Parts of a tensor; `stride` and `storageOffset` are in elements. */
export interface TensorParts {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly stride?: readonly number[];
  readonly storageOffset?: number;
  readonly storage: Storage;
  /** Set when the stored bytes are the complex conjugate, or the negative, of the values (torch's lazy flags). */
  readonly conj?: boolean;
  readonly neg?: boolean;
  /** Device tag in the file, `cuda:0` for example; information only. */
  readonly savedDevice?: string;
  readonly requiresGrad?: boolean;
}

/** A multi-dimensional array over a `Storage`. Immutable description; the bytes may be written through `data`. */
export class Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  readonly storageOffset: number;
  readonly storage: Storage;
  readonly conj: boolean;
  readonly neg: boolean;
  readonly savedDevice: string;
  readonly requiresGrad: boolean;

  /**
   * @throws {TensorError} RANKCAST_TENSOR_SHAPE when sizes, strides or offset are no counts or do not belong together,
   * RANKCAST_TENSOR_BOUNDS when the elements reach outside the storage.
   */
  constructor(parts: TensorParts) {
    this.dtype = parts.dtype;
    this.shape = parts.shape;
    this.stride = parts.stride ?? contiguousStrides(parts.shape);
    this.storageOffset = parts.storageOffset ?? 0;
    this.storage = parts.storage;
    this.conj = parts.conj ?? false;
    this.neg = parts.neg ?? false;
    this.savedDevice = parts.savedDevice ?? "cpu";
    this.requiresGrad = parts.requiresGrad ?? false;
    requireCounts(this);
    requireInside(this);
  }

  /**
   * A tensor over the values of `array` (shared, not copied).
   * @throws {TensorError} RANKCAST_TENSOR_BOUNDS when `shape` has more elements than the array, RANKCAST_TENSOR_SHAPE when it has fewer,
   * RANKCAST_TENSOR_DTYPE when no dtype belongs to this kind of array and none is given.
   */
  static from(array: TensorArray, shape: readonly number[], options: { readonly dtype?: DType } = {}): Tensor {
    requireArgument("shape", shape, COUNTS);
    const dtype = options.dtype ?? dtypeOfArray(array);
    const nbytes = bytesOf(dtype, elementCount(shape));
    if (nbytes < array.byteLength) {
      throw new TensorError("RANKCAST_TENSOR_SHAPE", `${dtype} [${shape}] has ${nbytes} bytes, the array has ${array.byteLength}`, {
        details: { dtype, shape, arrayBytes: array.byteLength },
      });
    }
    return new Tensor({ dtype, shape, storage: new Storage(array.buffer, array.byteOffset, array.byteLength) });
  }

  /** Number of elements. */
  get elementCount(): number {
    return elementCount(this.shape);
  }

  /** Bytes of the logical elements, written out contiguously. */
  get nbytes(): number {
    return bytesOf(this.dtype, this.elementCount);
  }

  /** Whether the bytes exist. */
  get isMeta(): boolean {
    return this.storage.buffer === null;
  }

  /** Whether elements lie row-major without gaps. */
  get isContiguous(): boolean {
    return isContiguous(this.shape, this.stride);
  }

  /**
   * Typed array over the tensor's part of the storage, from its first to its last element (so with gaps when it is not contiguous).
   * Raw `Uint16Array` for float16 and bfloat16, `BigInt64Array` for int64, component pairs for complex. No copy.
   * @throws {TensorError} RANKCAST_TENSOR_META when there are no bytes, RANKCAST_TENSOR_ALIGNMENT when the offset does not fit the type.
   */
  get data(): TensorArray {
    return typedArrayOver(this);
  }

  /**
   * The same values row-major without gaps, without lazy flags and aligned for a typed array; the tensor itself when it is so already.
   * `limits` bound how much larger than its storage an expanded tensor may be written out.
   * @throws {FormatError} RANKCAST_LIMIT when the tensor is far larger than the bytes behind it.
   * @throws {TensorError} RANKCAST_TENSOR_META when there are no bytes, RANKCAST_TENSOR_DTYPE when a lazy flag makes no sense for the type.
   */
  contiguous(limits?: MaterialiseLimits): Tensor {
    if (isPlain(this) && isAligned(this)) return this;
    const { dtype, shape, savedDevice, requiresGrad } = this;
    return new Tensor({ dtype, shape, storage: gatherContiguous(this, limits), savedDevice, requiresGrad });
  }

  /**
   * Values as float32, row-major: complex without their imaginary parts, 64-bit types rounded. A view of the tensor's own memory when it is
   * contiguous float32, else a fresh array.
   * @throws {TensorError} RANKCAST_TENSOR_DTYPE when the type holds no plain numbers (quantised, packed, bits).
   * @throws {FormatError} RANKCAST_LIMIT when the tensor is far larger than the bytes behind it.
   */
  toFloat32Array(limits?: MaterialiseLimits): Float32Array {
    if (this.dtype === "float32") return this.contiguous(limits).data as Float32Array;
    enforceMaterialisable(this, limits);
    const values = new Float32Array(this.elementCount);
    copyInto(contiguousView("float32", this.shape, new Storage(values.buffer, 0, values.byteLength)), this);
    return values;
  }

  /**
   * The value of a one-element tensor.
   * @throws {TensorError} RANKCAST_TENSOR_ITEM when it has more or fewer elements.
   */
  item(): Scalar {
    if (this.elementCount !== 1) {
      throw new TensorError("RANKCAST_TENSOR_ITEM", `a tensor with ${this.elementCount} elements cannot be converted to one value`, {
        details: { shape: this.shape },
      });
    }
    return decodeElement(this, this.storageOffset);
  }

  /**
   * The value at `index`, one number per axis.
   * @throws {TensorError} RANKCAST_TENSOR_INDEX when an index is outside its axis.
   */
  get(...index: number[]): Scalar {
    if (index.length !== this.shape.length || index.some((at, axis) => !(at >= 0 && at < (this.shape[axis] ?? 0)))) {
      throw new TensorError("RANKCAST_TENSOR_INDEX", `index [${index}] is outside shape [${this.shape}]`, {
        details: { index, shape: this.shape },
      });
    }
    return decodeElement(
      this,
      index.reduce((offset, at, axis) => offset + at * (this.stride[axis] ?? 0), this.storageOffset),
    );
  }

  /** Short text for messages: `float32 [3, 4]`. */
  toString(): string {
    return `${this.dtype} [${this.shape.join(", ")}]`;
  }
}

function requireCounts({ dtype, shape, stride, storageOffset }: Tensor): void {
  const isCount = (value: number) => Number.isSafeInteger(value) && value >= 0;
  if (shape.length === stride.length && shape.every(isCount) && stride.every(isCount) && isCount(storageOffset)) return;
  throw new TensorError(
    "RANKCAST_TENSOR_SHAPE",
    `${dtype} [${shape}] with strides [${stride}] at offset ${storageOffset}: every number must be a whole one from 0 to 2^53 - 1, one stride per axis`,
    { details: { dtype, shape: shape.map(String), stride: stride.map(String), storageOffset: String(storageOffset) } },
  );
}

function requireInside({ dtype, shape, stride, storageOffset, storage }: Tensor): void {
  const needed = bytesOf(dtype, storageOffset + elementSpan(shape, stride));
  if (shape.includes(0) || needed <= storage.nbytes) return;
  throw new TensorError(
    "RANKCAST_TENSOR_BOUNDS",
    `${dtype} [${shape}] at offset ${storageOffset} needs ${needed} bytes, its storage has ${storage.nbytes}`,
    { details: { dtype, shape, storageBytes: storage.nbytes } },
  );
}
