/** A tensor as a checkpoint names it. There may be hundreds of thousands, so what hardly any of them has is in one object that the others share. */
import type { DType } from "../tensor/dtype.ts";
import type { StorageRef } from "./storage-ref.ts";

/** Scale and zero point of a quantised tensor; per channel when `axis` is set. */
export interface Quantisation {
  readonly scheme: string;
  readonly scale: number | TensorRef;
  readonly zeroPoint: number | TensorRef;
  readonly axis?: number;
}

/** What of a tensor is no layout. Never written once made: tensors share it. */
interface TensorTraits {
  readonly requiresGrad: boolean;
  readonly conj: boolean;
  readonly neg: boolean;
  readonly quantisation: Quantisation | undefined;
  readonly origin: "tensor" | "parameter" | "numpy";
}

/** What a tensor is made of. */
export interface TensorParts extends Partial<TensorTraits> {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  readonly storageOffset: number;
  readonly storage: StorageRef;
}

const ORIGINS = ["tensor", "parameter", "numpy"] as const;
/** All that tensors without quantisation can be. */
const SHARED: readonly TensorTraits[] = Array.from({ length: 24 }, (_, index) => ({
  requiresGrad: (index & 1) !== 0,
  conj: (index & 2) !== 0,
  neg: (index & 4) !== 0,
  quantisation: undefined,
  origin: ORIGINS[index >> 3] ?? "tensor",
}));
const PLAIN = SHARED[0] as TensorTraits;

/** A tensor before its bytes are read: a view of a storage, in elements. */
export class TensorRef {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  readonly storageOffset: number;
  readonly storage: StorageRef;
  private traits: TensorTraits;

  /** `traits`: those of the parts, when there is a tensor that has the same. */
  constructor(parts: TensorParts, traits: TensorTraits = traitsOf(parts)) {
    this.dtype = parts.dtype;
    this.shape = parts.shape;
    this.stride = parts.stride;
    this.storageOffset = parts.storageOffset;
    this.storage = parts.storage;
    this.traits = traits;
  }

  get kind(): "tensor" {
    return "tensor";
  }

  /** Whether nothing but its layout is to be said of it. */
  get plain(): boolean {
    return this.traits === PLAIN;
  }

  get requiresGrad(): boolean {
    return this.traits.requiresGrad;
  }

  get conj(): boolean {
    return this.traits.conj;
  }

  get neg(): boolean {
    return this.traits.neg;
  }

  get quantisation(): Quantisation | undefined {
    return this.traits.quantisation;
  }

  /** `torch.nn.Parameter`s, numpy arrays and tensors differ for reports only. */
  get origin(): "tensor" | "parameter" | "numpy" {
    return this.traits.origin;
  }

  /** Says of the tensor itself, which others may hold already, whether it requires gradients. */
  markRequiresGrad(requiresGrad: boolean): void {
    const { conj, neg, quantisation, origin } = this.traits;
    this.traits = traitsOf({ requiresGrad, conj, neg, quantisation, origin });
  }

  /** The same view of another storage. */
  over(storage: StorageRef): TensorRef {
    const { dtype, shape, stride, storageOffset, traits } = this;
    return new TensorRef({ dtype, shape, stride, storageOffset, storage }, traits);
  }

  /** A copy in which `changes` are different. */
  with(changes: Partial<TensorParts>): TensorRef {
    const { dtype, shape, stride, storageOffset, storage, requiresGrad, conj, neg, quantisation, origin } = this;
    return new TensorRef({ dtype, shape, stride, storageOffset, storage, requiresGrad, conj, neg, quantisation, origin, ...changes });
  }
}

function traitsOf(parts: Partial<TensorTraits>): TensorTraits {
  const { requiresGrad = false, conj = false, neg = false, quantisation, origin = "tensor" } = parts;
  if (quantisation !== undefined) return { requiresGrad, conj, neg, quantisation, origin };
  const flags = (requiresGrad ? 1 : 0) | (conj ? 2 : 0) | (neg ? 4 : 0);
  return SHARED[flags + 8 * ORIGINS.indexOf(origin)] ?? PLAIN;
}
