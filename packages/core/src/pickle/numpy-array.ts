/** numpy arrays and scalars. An array of numbers is a tensor; arrays of objects and structures stay objects of their class. */
import {
  ComplexValue,
  OpaqueValue,
  type StoragePiece,
  StorageRef,
  TensorRef,
  TreeList,
  type TreeValue,
} from "../manifest/checkpoint-tree.ts";
import { bytesOf, type DType, traitsOf } from "../tensor/dtype.ts";
import { decodeElement } from "../tensor/element.ts";
import { Storage } from "../tensor/storage.ts";
import { contiguousStrides } from "../tensor/strides.ts";
import { badArgument } from "./call-arguments.ts";
import { encodeLatin1 } from "./decode-text.ts";
import { BYTES_BYTES, FLOAT_BYTES } from "./heap-costs.ts";
import { GlobalRef, PendingValue, type PickleCall } from "./known-global.ts";
import { NumpyDType } from "./numpy-dtype.ts";
import { narrow } from "./text-line.ts";
import { dimensions } from "./torch-tensor.ts";
import { ByteString, SkippedBytes } from "./unsettled.ts";

type Args = readonly TreeValue[];

/** Array classes whose content is the array and nothing else. */
const ARRAY_CLASSES: ReadonlySet<string> = new Set([
  "numpy.ndarray",
  "numpy.memmap",
  "numpy.core.memmap.memmap",
  "numpy._core.memmap.memmap",
]);

/** `_reconstruct(class, (0,), b"b")`: an empty array whose content comes by BUILD. */
export function reconstructArray(args: Args, call: PickleCall): TreeValue {
  const [made] = args;
  if (!(made instanceof GlobalRef)) throw badArgument(call, "an array is made of a class", made);
  call.charge(200);
  return ARRAY_CLASSES.has(made.global) ? new PendingArray() : new OpaqueValue(made.global, [], made.dangerous);
}

/** An array between `_reconstruct` and BUILD. */
class PendingArray extends PendingValue {
  private built = false;
  constructor() {
    super("numpy.ndarray", []);
  }

  /** `([version,] shape, dtype, is_fortran, content)` */
  build(state: TreeValue, call: PickleCall): TreeValue {
    const parts = state instanceof TreeList && state.type === "tuple" ? state.elements : [];
    if (this.built || parts.length < 4 || parts.length > 5)
      throw badArgument(call, "the state of an array is a tuple of 5, given once", state);
    this.built = true;
    const [shape, dtype, fortran, content] = parts.slice(-4);
    if (!(dtype instanceof NumpyDType)) throw badArgument(call, "the type of an array is a numpy.dtype", dtype);
    if (dtype.elementType === null) {
      this.state = state;
      return this;
    }
    return makeArray({ shape, dtype: dtype.elementType, bigEndian: dtype.bigEndian, fortran: fortran === true, content }, call);
  }
}

/** `_frombuffer(content, dtype, shape, order)`, how protocol 5 writes contiguous arrays. */
export function arrayFromBuffer(args: Args, call: PickleCall): TreeValue {
  const [content, dtype, shape, order] = args;
  if (!(dtype instanceof NumpyDType)) throw badArgument(call, "the type of an array is a numpy.dtype", dtype);
  if (dtype.elementType === null) return new OpaqueValue("numpy.ndarray", args);
  return makeArray({ shape, dtype: dtype.elementType, bigEndian: dtype.bigEndian, fortran: order === "F", content }, call);
}

interface ArrayArguments {
  readonly shape: TreeValue | undefined;
  readonly dtype: DType;
  readonly bigEndian: boolean;
  readonly fortran: boolean;
  readonly content: TreeValue | undefined;
}

function makeArray(args: ArrayArguments, call: PickleCall): TensorRef {
  const { dtype, bigEndian } = args;
  const shape = dimensions(args.shape, "shape", call);
  const nbytes = shape.reduce((product, size) => product * size, bytesOf(dtype, 1));
  if (shape.reduce((product, size) => product * Math.max(size, 1), bytesOf(dtype, 1)) > Number.MAX_SAFE_INTEGER) {
    throw call.refuse("RANKCAST_TENSOR_LAYOUT", `the shape (${shape.join(", ")}) of an array overflows`);
  }
  const pieces = piecesOf(args.content, nbytes, call);
  call.countTensor();
  return new TensorRef({
    dtype,
    shape,
    stride: args.fortran ? contiguousStrides(shape.toReversed()).reverse() : contiguousStrides(shape),
    storageOffset: 0,
    storage: new StorageRef({ nbytes, pieces, swapBytes: bigEndian ? traitsOf(dtype).swapBytes : 1 }),
    origin: "numpy",
  });
}

/** The content as one piece: bytes at hand, or the place in the source where they were skipped. */
function piecesOf(content: TreeValue | undefined, nbytes: number, call: PickleCall): StoragePiece[] {
  const raw = (content as unknown) instanceof SkippedBytes ? (content as unknown as SkippedBytes) : bytesOfContent(content, call);
  const found = raw instanceof SkippedBytes ? raw.nbytes : raw.length;
  if (found !== nbytes) {
    throw call.refuse("RANKCAST_TENSOR_LAYOUT", `an array needs ${nbytes} bytes, its content has ${found}`, { expected: nbytes, found });
  }
  if (nbytes === 0) return [];
  const extent: StoragePiece["extent"] =
    raw instanceof SkippedBytes
      ? { type: "range", source: 0, offset: raw.offset, storedBytes: nbytes, encoding: "stored", crc32: null }
      : { type: "inline", bytes: raw };
  return [{ at: 0, nbytes, extent }];
}

/** Python 2 wrote content as `str`; read as text it is Latin-1. */
function bytesOfContent(content: TreeValue | undefined, call: PickleCall): Uint8Array {
  if (content instanceof Uint8Array) return content;
  if ((content as unknown) instanceof ByteString) return (content as unknown as ByteString).bytes;
  if (typeof content === "string") call.charge(content.length + BYTES_BYTES);
  const bytes = typeof content === "string" ? encodeLatin1(content) : null;
  if (bytes !== null) return bytes;
  throw badArgument(call, "the content of an array of numbers is bytes", typeof content === "string" ? null : content);
}

/** `scalar(dtype, content)`: a plain number. Dates, text and structures stay objects. */
export function makeScalar(args: Args, call: PickleCall): TreeValue {
  const [dtype, content] = args;
  if (!(dtype instanceof NumpyDType)) throw badArgument(call, "the type of a scalar is a numpy.dtype", dtype);
  if (dtype.elementType === null) return new OpaqueValue("numpy.generic", args);
  const nbytes = bytesOf(dtype.elementType, 1);
  const raw = bytesOfContent(content, call);
  if (raw.length !== nbytes)
    throw call.refuse("RANKCAST_TENSOR_LAYOUT", `a scalar of ${dtype.elementType} needs ${nbytes} bytes, its content has ${raw.length}`);
  call.charge(FLOAT_BYTES);
  const bytes = raw.slice();
  if (dtype.bigEndian) swapComponents(bytes, traitsOf(dtype.elementType).swapBytes);
  const storage = new Storage(bytes.buffer, bytes.byteOffset, nbytes);
  const value = decodeElement({ dtype: dtype.elementType, storage, conj: false, neg: false }, 0);
  if (typeof value === "object") return new ComplexValue(value.re, value.im);
  return typeof value === "bigint" ? narrow(value) : value;
}

function swapComponents(bytes: Uint8Array, componentBytes: number): void {
  for (let at = 0; at < bytes.length; at += componentBytes) bytes.subarray(at, at + componentBytes).reverse();
}
