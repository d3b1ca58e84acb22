/** What a load will do with one key. */
import type { Mismatch } from "../report/replica-report.ts";
import { bytesOf, type DType } from "../tensor/dtype.ts";
import type { Storage } from "../tensor/storage.ts";
import { sameShape } from "../tensor/strides.ts";
import { Tensor } from "../tensor/tensor.ts";
import { arrayOf } from "../tensor/typed-array.ts";
import { decideDtype } from "./dtype-policy.ts";
import type { CompiledLoadOptions } from "./load-options.ts";
import type { LocalKey } from "./module-tree.ts";
import { hasGradient } from "./parameter.ts";
import type { OpenTensor, TensorSlot } from "./tensor-slot.ts";

/**
 * `adopt`: the checkpoint's view takes the place. `copy`: the bytes are written into the model's memory. `fresh`: new memory is filled
 * and takes the place. `keep`: the model's value stays. `tied`: another name of the same parameter does the work.
 */
export type LoadMode = "adopt" | "copy" | "fresh" | "keep" | "tied";

/** What to do with a key, without its tensors: it may be kept for the next load and keeps no memory alive. */
export interface KeyPlan {
  readonly key: string;
  readonly slot: TensorSlot;
  /** Other slots that get the same tensor. */
  alsoIn: readonly TensorSlot[];
  /** Element type afterwards. */
  readonly dtype: DType;
  mode: LoadMode;
  /** False when the value is no part of the checkpoint: it counts as defaulted, not as matched. */
  readonly fromCheckpoint: boolean;
  /** Whether a one-element vector stands for a scalar. */
  readonly squeezed: boolean;
  /** What planning looked at in the slot. */
  readonly heldDtype: DType;
  readonly heldShape: readonly number[] | null;
  readonly heldStride: readonly number[];
  readonly owned: boolean;
}

/** A key that will be loaded. */
export interface PlannedKey {
  readonly plan: KeyPlan;
  /** What the slot held when the plan was made. */
  readonly held: Tensor | OpenTensor;
  readonly source: Tensor;
}

/** A key that cannot be loaded. */
export interface RefusedKey {
  readonly mismatch: Mismatch;
  /** Fails the load under every policy. */
  readonly fatal: boolean;
}

const NO_SLOTS: readonly TensorSlot[] = [];
const NO_STRIDE: readonly number[] = [];

/** Decides for one key. Reads descriptions only, never values. */
export function planKey(local: LocalKey, given: Tensor, fromCheckpoint: boolean, options: CompiledLoadOptions): PlannedKey | RefusedKey {
  const { key, slot } = local;
  const { held } = slot;
  // Files of torch 0.3 hold scalars as vectors of one element (semantics F7).
  const squeezed = held.shape?.length === 0 && given.shape.length === 1 && given.shape[0] === 1;
  const source = squeezed ? squeeze(given) : given;
  if (held.shape !== null && !sameShape(held.shape, source.shape)) return refuse(key, given, held, { reason: "shape" });
  let dtype = source.dtype;
  // Equal types are nearly all, and planning is paid per key.
  if (dtype !== held.dtype || options.floatDtype !== null) {
    const decision = decideDtype(source.dtype, held.dtype, options);
    dtype = decision.dtype;
    if (decision.verdict === "refuse") {
      return refuse(key, given, held, { reason: "dtype", checkpointDtype: source.dtype, modelDtype: dtype }, decision.fatal);
    }
  }
  if (slot.isForeign && dtype !== held.dtype) {
    return refuse(key, given, held, { reason: "dtype", checkpointDtype: dtype, modelDtype: held.dtype }, true);
  }
  if (slot.requiresGrad && !hasGradient(dtype)) return refuse(key, given, held, { reason: "gradient" });
  // Only defaults stay because they are the model's own: that a checkpoint's tensor is so does not follow from its description.
  const owned = ownsMemory(held);
  const mode = !fromCheckpoint && held === source ? "keep" : modeFor(slot, source, dtype, owned, options);
  if (mode === "bytes" || mode === "overlap") return refuse(key, given, held, { reason: mode });
  const heldStride = held.shape === null ? NO_STRIDE : held.stride;
  const plan = {
    key,
    slot,
    alsoIn: NO_SLOTS,
    dtype,
    mode,
    fromCheckpoint,
    squeezed,
    heldDtype: held.dtype,
    heldShape: held.shape,
    heldStride,
    owned,
  };
  return { plan, held, source };
}

function refuse(
  key: string,
  given: Tensor,
  held: Tensor | OpenTensor,
  why: Pick<Mismatch, "reason" | "checkpointDtype" | "modelDtype">,
  fatal = false,
): RefusedKey {
  return { mismatch: { key, checkpoint: given.shape, model: held.shape ?? given.shape, ...(why.reason === "shape" ? {} : why) }, fatal };
}

/** Lets another slot get the tensor of a planned key. */
export function joinSlot(plan: KeyPlan, slot: TensorSlot): void {
  if (slot !== plan.slot && !plan.alsoIn.includes(slot)) plan.alsoIn = [...plan.alsoIn, slot];
}

/** The scalar that a vector of one element stands for: the same bytes. */
export function squeeze(tensor: Tensor): Tensor {
  return new Tensor({ ...tensor, shape: [], stride: [] });
}

/** How to load, or why it cannot be done. */
function modeFor(
  slot: TensorSlot,
  source: Tensor,
  dtype: DType,
  owned: boolean,
  options: CompiledLoadOptions,
): LoadMode | "bytes" | "overlap" {
  const { held } = slot;
  if (source.isMeta && held.shape !== null && !held.isMeta) return "bytes";
  if (options.assign === "always" || !owned) {
    const adoptable = options.assign !== "never" && source.dtype === dtype && isPlain(source) && !isRewritten(source);
    if (adoptable && (options.assign === "always" || slot.isForeign || sameLayout(held, source))) return "adopt";
  }
  if (!owned || held.shape === null || held.dtype !== dtype) return "fresh";
  return overlapsItself(held) ? "overlap" : "copy";
}

/** An expanded tensor: with a step of 0 the last of several values would win by accident. */
function overlapsItself({ stride, shape }: Tensor): boolean {
  for (let axis = 0; axis < stride.length; axis += 1) if (stride[axis] === 0 && (shape[axis] ?? 0) > 1) return true;
  return false;
}

const BORROWED = new WeakSet<Tensor>();
const REWRITTEN = new WeakSet<Storage>();

/**
 * Says whether a storage's bytes will be another generation's later on (`true`), as those of kept segments are. Whoever loads from it by then gets a
 * copy: a target network that adopted them would change under its owner's hands. The model that follows the updates adopts them before.
 */
export function markRewritten(storages: Iterable<Storage>, rewritten: boolean): void {
  for (const storage of storages) {
    if (rewritten) REWRITTEN.add(storage);
    else REWRITTEN.delete(storage);
  }
}

/** Whether a tensor's bytes will be another generation's later on. */
export function isRewritten({ storage }: Tensor): boolean {
  return REWRITTEN.has(storage);
}

/** Remembers that a model's tensor is a checkpoint's memory: the next load replaces it, because others may look at those bytes (law L4). */
export function markBorrowed(tensor: Tensor): void {
  BORROWED.add(tensor);
}

/** Whether a load may write into what a slot holds. */
export function ownsMemory(held: Tensor | OpenTensor): held is Tensor {
  return held.shape !== null && !held.isMeta && !BORROWED.has(held);
}

/** Whether a tensor's bytes can be shown as they are: no lazy sign flips, and aligned for its typed array. */
export function isPlain(tensor: Tensor): boolean {
  if (tensor.conj || tensor.neg) return false;
  const { dtype, storage, storageOffset } = tensor;
  return storage.buffer === null || (storage.byteOffset + bytesOf(dtype, storageOffset)) % arrayOf(dtype).BYTES_PER_ELEMENT === 0;
}

/** Whether the source lies in memory as the model declared it; axes of one element have no stride to speak of. */
export function sameLayout(held: Tensor | OpenTensor, source: Tensor): boolean {
  if (held.shape === null) return source.isContiguous;
  if (source.shape.includes(0)) return true;
  return source.stride.every((step, axis) => step === held.stride[axis] || source.shape[axis] === 1);
}
