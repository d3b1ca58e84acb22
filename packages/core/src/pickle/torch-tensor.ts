/**
 * The one place where numbers of a torch pickle become a tensor. Every number is checked here: signs, integers, overflow of products and
 * of the span, rank, and that the last element lies inside the storage. Sums and products of doubles are safe for that: each operand is at
 * most 2^53, and a result that is too large never rounds to one that is not.
 */
import { type Quantisation, TensorRef, type TreeValue } from "../manifest/checkpoint-tree.ts";
import { type DType, traitsOf } from "../tensor/dtype.ts";
import { countOf, describe, sequence } from "./call-arguments.ts";
import { QUANTISED_BYTES } from "./heap-costs.ts";
import type { PickleCall } from "./known-global.ts";
import { StorageView, type StorageWindow, TypedStorage } from "./torch-storage.ts";

/** What a pickle says about a tensor, still unchecked. */
export interface TensorArguments {
  readonly storage: StorageWindow;
  readonly dtype: DType;
  /** In elements. */
  readonly offset: TreeValue | undefined;
  readonly size: TreeValue | undefined;
  readonly stride: TreeValue | undefined;
  readonly requiresGrad?: boolean;
  readonly conj?: boolean;
  readonly neg?: boolean;
  readonly quantisation?: Quantisation;
}

/** A tensor of checked numbers. @throws {FormatError} RANKCAST_TENSOR_LAYOUT, RANKCAST_PICKLE_CALL, RANKCAST_LIMIT (rank, count). */
export function makeTensor(args: TensorArguments, call: PickleCall): TensorRef {
  const { storage, dtype } = args;
  const shape = dimensions(args.size, "size", call);
  const stride = dimensions(args.stride, "stride", call);
  const offset = dimension(args.offset, "offset", call);
  if (shape.length !== stride.length) {
    throw call.refuse("RANKCAST_TENSOR_LAYOUT", `${shape.length} sizes and ${stride.length} strides`);
  }
  const { bits } = traitsOf(dtype);
  const end = checkedEnd(shape, stride, offset, bits, call);
  if (Math.ceil((end * bits) / 8) > storage.windowBytes) throw outside(args, shape, stride, end, call);
  call.countTensor();
  if (args.quantisation !== undefined) call.charge(QUANTISED_BYTES);
  if (storage instanceof TypedStorage) storage.claim(dtype, call);
  return new TensorRef({
    dtype,
    shape,
    stride,
    storageOffset: storage instanceof StorageView ? offset + elementsBefore(storage, bits, call) : offset,
    storage: storage.whole,
    requiresGrad: args.requiresGrad ?? false,
    conj: args.conj ?? false,
    neg: args.neg ?? false,
    quantisation: args.quantisation,
  });
}

/** A tuple of counts, shared with the pickle's own tuple: nothing writes to tuples. */
export function dimensions(value: TreeValue | undefined, what: string, call: PickleCall): readonly number[] {
  const elements = sequence(value, what, call);
  if (elements.length > call.limits.tensorRank) {
    throw call.refuse("RANKCAST_LIMIT", `rank ${elements.length} is above the limit tensorRank = ${call.limits.tensorRank}`, {
      limit: "tensorRank",
      allowed: call.limits.tensorRank,
      found: elements.length,
    });
  }
  // By index: an iterator makes an object per step until the loop is compiled, and this runs twice per tensor.
  for (let axis = 0; axis < elements.length; axis += 1) dimension(elements[axis], what, call);
  return elements as readonly number[];
}

/** One size, stride or offset. */
export function dimension(value: TreeValue | undefined, what: string, call: PickleCall): number {
  const count = countOf(value);
  if (count !== null) return count;
  const found = value === undefined ? "nothing" : describe(value);
  throw call.refuse("RANKCAST_TENSOR_LAYOUT", `${what} holds ${found}; it must be an integer from 0 to 2^53-1`, { found });
}

function checkedEnd(shape: readonly number[], stride: readonly number[], offset: number, bits: number, call: PickleCall): number {
  const end = endOfElements(shape, stride, offset, bits);
  if (end !== null) return end;
  throw call.refuse("RANKCAST_TENSOR_LAYOUT", `sizes (${shape.join(", ")}) and strides (${stride.join(", ")}) overflow`);
}

/** One past the last element touched, 0 for an empty tensor; null when that is above 2^53-1. torch refuses products that overflow even beside a 0. */
export function endOfElements(shape: readonly number[], stride: readonly number[], offset: number, bits: number): number | null {
  let product = Math.max(bits / 8, 1);
  let end = offset + 1;
  let empty = false;
  for (let axis = 0; axis < shape.length; axis += 1) {
    const size = shape[axis] as number;
    if (size === 0) empty = true;
    else {
      product *= size;
      end += (size - 1) * (stride[axis] as number);
    }
  }
  // Asked at the end: a 0 in the last place makes the whole tensor empty. What is too large stays too large.
  if (product > Number.MAX_SAFE_INTEGER || (!empty && end > Number.MAX_SAFE_INTEGER)) return null;
  return empty ? 0 : end;
}

function outside(args: TensorArguments, shape: readonly number[], stride: readonly number[], end: number, call: PickleCall): Error {
  const found = Math.floor((args.storage.windowBytes * 8) / traitsOf(args.dtype).bits);
  const text = `${args.dtype} (${shape.join(", ")}) with strides (${stride.join(", ")}) needs ${end} elements, its storage has ${found}`;
  return call.refuse("RANKCAST_TENSOR_LAYOUT", text, { shape, stride, expected: end, found });
}

function elementsBefore(view: StorageView, bits: number, call: PickleCall): number {
  const elements = (view.beginBytes * 8) / bits;
  if (!Number.isInteger(elements)) {
    throw call.refuse("RANKCAST_TENSOR_LAYOUT", `a view begins at byte ${view.beginBytes}, inside an element of ${bits} bits`);
  }
  return elements;
}
