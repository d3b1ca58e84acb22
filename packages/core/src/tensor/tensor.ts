/** A typed, strided view of a storage. */
import { TensorError } from "../errors/checkpoint-error.ts";
import { decodeToFloat32 } from "./cast.ts";
import { gatherContiguous } from "./copy.ts";
import { bytesOf, type DType } from "./dtype.ts";
import { decodeElement, type Scalar } from "./element.ts";
import { Storage } from "./storage.ts";
import { contiguousStrides, elementCount, elementSpan, isContiguous } from "./strides.ts";
import { type TensorArray, typedArrayOver } from "./typed-array.ts";

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
    const end = this.storageOffset + elementSpan(this.shape, this.stride);
    if (elementCount(this.shape) > 0 && bytesOf(this.dtype, end) > this.storage.nbytes) {
      throw new TensorError(
        "RANKCAST_TENSOR_BOUNDS",
        `${this.dtype} [${this.shape}] at offset ${this.storageOffset} needs ${bytesOf(this.dtype, end)} bytes, its storage has ${this.storage.nbytes}`,
        {
          details: { dtype: this.dtype, shape: this.shape, storageBytes: this.storage.nbytes },
        },
      );
    }
  }

  /**
   * A tensor over the values of `array` (shared, not copied).
   * @throws {TensorError} RANKCAST_TENSOR_BOUNDS when `shape` has more elements than the array.
   */
  static from(array: TensorArray, shape: readonly number[], options: { readonly dtype?: DType } = {}): Tensor {
    const dtype = options.dtype ?? dtypeOfArray(array);
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

  /** The same values row-major without gaps and without lazy flags; the tensor itself when it is so already. */
  contiguous(): Tensor {
    return this.isContiguous && !this.conj && !this.neg
      ? this
      : new Tensor({
          dtype: this.dtype,
          shape: this.shape,
          storage: gatherContiguous(this),
          savedDevice: this.savedDevice,
          requiresGrad: this.requiresGrad,
        });
  }

  /** Values as float32, row-major. A view when the tensor is contiguous float32, else a fresh array. */
  toFloat32Array(): Float32Array {
    const tensor = this.contiguous();
    return tensor.dtype === "float32" ? (tensor.data as Float32Array) : decodeToFloat32(tensor, tensor.elementCount);
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

function dtypeOfArray(array: TensorArray): DType {
  const name = array.constructor.name;
  const found = ARRAY_DTYPES.get(name);
  if (!found) throw new TensorError("RANKCAST_TENSOR_DTYPE", `no dtype for ${name}; pass { dtype }`, { details: { array: name } });
  return found;
}

const ARRAY_DTYPES: ReadonlyMap<string, DType> = new Map([
  ["Float32Array", "float32"],
  ["Float64Array", "float64"],
  ["Int8Array", "int8"],
  ["Int16Array", "int16"],
  ["Int32Array", "int32"],
  ["BigInt64Array", "int64"],
  ["Uint8Array", "uint8"],
  ["Uint8ClampedArray", "uint8"],
  ["Buffer", "uint8"],
  ["Uint16Array", "uint16"],
  ["Uint32Array", "uint32"],
  ["BigUint64Array", "uint64"],
]);
