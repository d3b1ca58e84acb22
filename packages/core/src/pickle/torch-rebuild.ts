/** The functions torch names in a pickle to make dense tensors again. Argument tuples: torch `_utils.py`. */
import { OpaqueValue, SparseRef, type StorageRef, TensorRef, TreeDict, type TreeValue } from "../manifest/checkpoint-tree.ts";
import { bytesOf, type DType, traitsOf } from "../tensor/dtype.ts";
import { elementSpan } from "../tensor/strides.ts";
import { badArgument } from "./call-arguments.ts";
import { TENSOR_BYTES } from "./heap-costs.ts";
import { GlobalRef, type PickleCall } from "./known-global.ts";
import { dtypeNamed } from "./torch-names.ts";
import { asStorageWindow, type StorageWindow, TypedStorage } from "./torch-storage.ts";
import { dimension, dimensions, makeTensor } from "./torch-tensor.ts";

type Args = readonly TreeValue[];

const WRAPPER_ARGUMENTS = 8;
/** Estimated heap of a wrapper. */
const WRAPPER_BYTES = 300;
/** A storage without a place. */
const META_STORAGE_BYTES = 128;

/** `(storage, offset, size, stride)` */
export function rebuildTensor(args: Args, call: PickleCall): TensorRef {
  const storage = storageOf(args[0], call);
  return makeTensor({ storage, dtype: elementTypeOf(storage, call), offset: args[1], size: args[2], stride: args[3] }, call);
}

/** `(storage, offset, size, stride, requires_grad, hooks[, metadata])` */
export function rebuildTensorV2(args: Args, call: PickleCall): TensorRef {
  const storage = storageOf(args[0], call);
  return rebuildDense(storage, elementTypeOf(storage, call), args, args[6], call);
}

/** `(untyped storage, offset, size, stride, requires_grad, hooks, dtype[, metadata])`; the offset counts elements of `dtype`. */
export function rebuildTensorV3(args: Args, call: PickleCall): TensorRef {
  return rebuildDense(storageOf(args[0], call), dtypeOf(args[6], call), args, args[7], call);
}

function rebuildDense(storage: StorageWindow, dtype: DType, args: Args, metadata: TreeValue | undefined, call: PickleCall): TensorRef {
  noteHooks(args[5], call);
  const requiresGrad = flagOf(args[4], "requires_grad", call);
  const plain = metadata === undefined || metadata === null;
  const conj = !plain && lazyFlag(metadata, "conj", call);
  const neg = !plain && lazyFlag(metadata, "neg", call);
  if (conj && traitsOf(dtype).kind !== "complex") throw call.refuse("RANKCAST_TENSOR_LAYOUT", `conj of ${dtype}, which is not complex`);
  return makeTensor({ storage, dtype, offset: args[1], size: args[2], stride: args[3], requiresGrad, conj, neg }, call);
}

/** Lazy bits: the stored bytes are those without the conjugation or negation. Ignoring an unknown one could give wrong numbers. */
function lazyFlag(metadata: TreeValue, name: "conj" | "neg", call: PickleCall): boolean {
  if (!(metadata instanceof TreeDict)) throw badArgument(call, "the metadata of a tensor is a dict", metadata);
  for (const key of metadata.entries.keys()) {
    if (key !== "conj" && key !== "neg") throw call.refuse("RANKCAST_TENSOR_TYPE", "a tensor has a lazy flag other than conj and neg");
  }
  return metadata.entries.get(name) === true;
}

/** The storage argument of a tensor. */
export function storageOf(value: TreeValue | undefined, call: PickleCall): StorageWindow {
  const storage = asStorageWindow(value);
  if (storage === null) throw badArgument(call, "a tensor is made of a storage", value);
  return storage;
}

/** Element type of a storage that must have one. */
export function elementTypeOf(storage: StorageWindow, call: PickleCall): DType {
  if (storage.elementType === "untyped") throw call.refuse("RANKCAST_TENSOR_TYPE", "a tensor on an untyped storage has no element type");
  return storage.elementType;
}

/** A dtype argument. */
export function dtypeOf(value: TreeValue | undefined, call: PickleCall): DType {
  const dtype = dtypeNamed(value);
  if (dtype !== null) return dtype;
  if (value instanceof GlobalRef) throw call.refuse("RANKCAST_TENSOR_TYPE", "a tensor has an element type that is not supported");
  throw badArgument(call, "an element type is a torch.dtype", value);
}

/** A bool argument. */
export function flagOf(value: TreeValue | undefined, what: string, call: PickleCall): boolean {
  if (typeof value === "boolean") return value;
  throw badArgument(call, `${what} is a bool`, value);
}

/** Hooks are functions; torch itself never saves any. */
export function noteHooks(value: TreeValue | undefined, call: PickleCall): void {
  const empty = value === undefined || value === null || (value instanceof TreeDict && value.size === 0);
  if (!empty) call.warn("backward-hooks-dropped", "some tensors have backward hooks, which are code and are left out");
}

/** `(dtype, size, stride, requires_grad)`: a tensor on the meta device has no bytes. */
export function rebuildMetaTensor(args: Args, call: PickleCall): TensorRef {
  const dtype = dtypeOf(args[0], call);
  const span = elementSpan(dimensions(args[1], "size", call), dimensions(args[2], "stride", call));
  const nbytes = Number.isSafeInteger(span) && span >= 0 ? bytesOf(dtype, span) : Number.MAX_SAFE_INTEGER;
  call.charge(META_STORAGE_BYTES);
  const storage = new TypedStorage({ nbytes, pieces: [], elementType: dtype, meta: true, savedDevice: "meta" });
  return makeTensor(
    { storage, dtype, offset: 0, size: args[1], stride: args[2], requiresGrad: flagOf(args[3], "requires_grad", call) },
    call,
  );
}

/** `(data, dtype, device, requires_grad)`: devices whose memory pickles cannot hold. `data` may be wider than the tensor was (XLA). */
export function rebuildDeviceTensor(args: Args, call: PickleCall): TreeValue {
  const [array] = args;
  if (!(array instanceof TensorRef)) throw badArgument(call, "a device tensor is made of an array", array);
  const dtype = dtypeOf(args[1], call);
  if (dtype !== array.dtype) call.warn("device-tensor-dtype", `some device tensors were saved as ${array.dtype} and were ${dtype} before`);
  call.charge(TENSOR_BYTES);
  return array.with({ requiresGrad: flagOf(args[3], "requires_grad", call), origin: "tensor" });
}

/** `(cls, dtype, size, stride, offset, layout, device, requires_grad)`: the shell of a DTensor, say. It has no bytes of its own. */
export function rebuildWrapper(args: Args, call: PickleCall): OpaqueValue {
  const [made] = args;
  if (!(made instanceof GlobalRef)) throw badArgument(call, "a wrapper is made of a class", made);
  dtypeOf(args[1], call);
  dimensions(args[2], "size", call);
  dimensions(args[3], "stride", call);
  dimension(args[4], "offset", call);
  call.charge(WRAPPER_BYTES);
  return new OpaqueValue(made.global, args.slice(1, WRAPPER_ARGUMENTS), made.dangerous);
}

/** Whether a value is data that a parameter may wrap. */
export function isTensorLike(value: TreeValue | undefined): value is TensorRef | SparseRef | OpaqueValue | StorageRef {
  return value instanceof TensorRef || value instanceof SparseRef || value instanceof OpaqueValue;
}
