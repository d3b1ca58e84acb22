/** What a load will do with one key. */
import type { Cast, Mismatch } from "../report/replica-report.ts";
import { bytesOf, type DType } from "../tensor/dtype.ts";
import { sameShape } from "../tensor/strides.ts";
import { Tensor } from "../tensor/tensor.ts";
import { arrayOf } from "../tensor/typed-array.ts";
import { castLoss, decideDtype } from "./dtype-policy.ts";
import type { CompiledLoadOptions } from "./load-options.ts";
import type { LocalKey } from "./module-tree.ts";
import type { OpenTensor, TensorSlot } from "./tensor-slot.ts";

/**
 * `adopt`: the checkpoint's view takes the place. `copy`: the bytes are written into the model's memory. `fresh`: new memory is filled
 * and takes the place. `keep`: the model's value stays. `tied`: another name of the same parameter does the work.
 */
export type LoadMode = "adopt" | "copy" | "fresh" | "keep" | "tied";

/** A key that will be loaded. */
export interface PlannedKey {
  readonly key: string;
  /** The first is the key's own; others are tied to it and get the same tensor. */
  readonly slots: TensorSlot[];
  /** What the slot held when the plan was made. */
  readonly held: Tensor | OpenTensor;
  readonly source: Tensor;
  /** Element type afterwards. */
  readonly dtype: DType;
  mode: LoadMode;
  /** False when the value is no part of the checkpoint: it counts as defaulted, not as matched. */
  readonly fromCheckpoint: boolean;
  /** Whether a one-element vector stands for a scalar. */
  readonly squeezed: boolean;
}

/** The plan for one key, or why there is none. */
export type KeyDecision =
  | { readonly type: "planned"; readonly planned: PlannedKey; readonly cast?: Cast }
  | { readonly type: "mismatch"; readonly mismatch: Mismatch; readonly fatal: boolean };

/** Decides for one key. Reads descriptions only, never values. */
export function planKey(local: LocalKey, given: Tensor, fromCheckpoint: boolean, options: CompiledLoadOptions): KeyDecision {
  const { key, slot } = local;
  const { held } = slot;
  // Files of torch 0.3 hold scalars as vectors of one element (semantics F7).
  const squeezed = held.shape?.length === 0 && given.shape.length === 1 && given.shape[0] === 1;
  const source = squeezed ? squeeze(given) : given;
  const mismatch = { key, checkpoint: given.shape, model: held.shape ?? given.shape };
  if (held.shape !== null && !sameShape(held.shape, source.shape)) return { type: "mismatch", mismatch, fatal: false };
  const decision = decideDtype(source.dtype, held.dtype, options);
  if (decision.verdict === "refuse") {
    const dtypes = { reason: "dtype", checkpointDtype: source.dtype, modelDtype: decision.dtype } as const;
    return { type: "mismatch", mismatch: { ...mismatch, ...dtypes }, fatal: decision.fatal };
  }
  const mode = modeFor(held, source, decision.dtype, options);
  if (mode === null) return { type: "mismatch", mismatch: { ...mismatch, reason: "value" }, fatal: false };
  const planned = { key, slots: [slot], held, source, dtype: decision.dtype, mode, fromCheckpoint, squeezed };
  const cast = { key, from: source.dtype, to: decision.dtype, lossy: castLoss(source.dtype, decision.dtype) };
  return decision.verdict === "cast" ? { type: "planned", planned, cast } : { type: "planned", planned };
}

/** The scalar that a vector of one element stands for: the same bytes. */
export function squeeze(tensor: Tensor): Tensor {
  return new Tensor({ ...tensor, shape: [], stride: [] });
}

/** Null when the model has memory and the checkpoint has no bytes. */
function modeFor(held: Tensor | OpenTensor, source: Tensor, dtype: DType, options: CompiledLoadOptions): LoadMode | null {
  if (held === source && dtype === source.dtype) return "keep";
  const allocated = held.shape !== null && !held.isMeta;
  if (source.isMeta && allocated) return null;
  const adoptable = options.assign !== "never" && source.dtype === dtype && isPlain(source);
  if (!allocated) return adoptable && (options.assign === "always" || sameLayout(held, source)) ? "adopt" : "fresh";
  if (adoptable && options.assign === "always") return "adopt";
  return held.dtype === dtype ? "copy" : "fresh";
}

/** Whether a tensor's bytes can be shown as they are: no lazy sign flips, and aligned for its typed array. */
export function isPlain(tensor: Tensor): boolean {
  if (tensor.conj || tensor.neg) return false;
  const { dtype, storage, storageOffset } = tensor;
  return storage.buffer === null || (storage.byteOffset + bytesOf(dtype, storageOffset)) % arrayOf(dtype).BYTES_PER_ELEMENT === 0;
}

/** Whether the source lies in memory as the model declared it; axes of one element have no stride to speak of. */
function sameLayout(held: Tensor | OpenTensor, source: Tensor): boolean {
  if (held.shape === null) return source.isContiguous;
  if (source.shape.includes(0)) return true;
  return source.stride.every((step, axis) => step === held.stride[axis] || source.shape[axis] === 1);
}
