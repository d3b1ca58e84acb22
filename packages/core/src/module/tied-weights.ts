/**
 * Tied weights: one tensor of the model under several names. One name in the checkpoint is enough, because safetensors files hold only
 * one; two names with different values are an error, because either choice would be silent (semantics F16).
 */
import type { LoadProblem } from "../report/replica-report.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Storage } from "../tensor/storage.ts";
import { sameShape } from "../tensor/strides.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { LocalKey, ModuleTree } from "./module-tree.ts";
import type { PlannedKey } from "./planned-key.ts";
import type { TensorSlot } from "./tensor-slot.ts";
import { castedCopy } from "./write-tensor.ts";

/** Two planned keys that must bring the same values. */
export type TiedPair = readonly [first: PlannedKey, second: PlannedKey];

/**
 * Lets one key of each tied set do the work: its slots grow by the others', the others become `tied`. Returns the pairs whose values have
 * to be compared.
 */
export function joinTied(planned: readonly PlannedKey[]): TiedPair[] {
  const byHeld = new Map<object, PlannedKey>();
  const byMemory = new Map<Storage, PlannedKey[]>();
  const pairs: TiedPair[] = [];
  for (const entry of planned) {
    const first = byHeld.get(entry.held) ?? sameMemory(byMemory, entry);
    byHeld.set(entry.held, first ?? entry);
    if (first === undefined) continue;
    for (const slot of entry.slots) if (!first.slots.includes(slot)) first.slots.push(slot);
    // A value that is the model's own must not win over one from the checkpoint.
    if (first.mode === "keep" && entry.mode !== "keep") swapWork(byHeld, first, entry);
    else entry.mode = "tied";
    pairs.push([first, entry]);
  }
  return pairs.filter(([a, b]) => a.fromCheckpoint && b.fromCheckpoint);
}

function swapWork(byHeld: Map<object, PlannedKey>, first: PlannedKey, entry: PlannedKey): void {
  for (const slot of first.slots) if (!entry.slots.includes(slot)) entry.slots.push(slot);
  first.mode = "tied";
  byHeld.set(entry.held, entry);
}

/** An earlier key that will be written into the very same memory. Adopted tensors part ways, so only writes count. */
function sameMemory(byMemory: Map<Storage, PlannedKey[]>, entry: PlannedKey): PlannedKey | undefined {
  if (entry.mode !== "copy" || !(entry.held instanceof Tensor)) return undefined;
  const { held } = entry;
  const known = byMemory.get(held.storage);
  if (known === undefined) byMemory.set(held.storage, [entry]);
  else {
    const same = known.find((other) => other.held instanceof Tensor && isSameView(other.held, held));
    if (same) return same;
    known.push(entry);
  }
  return undefined;
}

/** Whether two tensors are the same elements of the same memory. */
export function isSameView(a: Tensor, b: Tensor): boolean {
  return (
    a.storage.buffer === b.storage.buffer &&
    a.storage.buffer !== null &&
    a.storage.byteOffset === b.storage.byteOffset &&
    a.storageOffset === b.storageOffset &&
    a.dtype === b.dtype &&
    a.conj === b.conj &&
    a.neg === b.neg &&
    sameShape(a.shape, b.shape) &&
    (a.elementCount === 0 || sameShape(a.stride, b.stride))
  );
}

/** Problems with pairs whose values differ. Reads bytes only where the two are not the same memory. */
export function compareTied(pairs: readonly TiedPair[]): LoadProblem[] {
  return pairs.flatMap(([first, second]) => {
    if (sameValues(first.source, second.source, first.dtype)) return [];
    const message = `tied weights differ: "${first.key}" and "${second.key}" are one tensor of the model, but the checkpoint has different values for them.`;
    return [{ key: second.key, message, fatal: true, mismatchesBefore: Number.MAX_SAFE_INTEGER }];
  });
}

/** Equal as the model will hold them: after the cast that each of them gets. */
function sameValues(a: Tensor, b: Tensor, dtype: DType): boolean {
  if (a.isMeta || b.isMeta || isSameView(a, b)) return true;
  return Buffer.compare(logicalBytes(a, dtype), logicalBytes(b, dtype)) === 0;
}

function logicalBytes(tensor: Tensor, dtype: DType): Uint8Array {
  const plain = tensor.dtype === dtype ? tensor.contiguous() : castedCopy(tensor, dtype);
  return plain.storage.bytes(bytesBefore(plain), plain.nbytes);
}

function bytesBefore(tensor: Tensor): number {
  return tensor.elementCount === 0 ? 0 : (tensor.storageOffset * tensor.nbytes) / tensor.elementCount;
}

/** Finds other names of a key's tensor. Built on first use: most loads miss nothing. */
export class AliasIndex {
  readonly #tree: ModuleTree;
  #bySlot: Map<object, LocalKey[]> | undefined;

  constructor(tree: ModuleTree) {
    this.#tree = tree;
  }

  /** Other keys that name the same tensor. */
  aliasesOf(local: LocalKey): readonly LocalKey[] {
    this.#bySlot ??= indexBySlot(this.#tree);
    const { slot } = local;
    return (this.#bySlot.get(identityOf(slot)) ?? []).filter((other) => other !== local && namesSame(other.slot, slot));
  }
}

function indexBySlot(tree: ModuleTree): Map<object, LocalKey[]> {
  const index = new Map<object, LocalKey[]>();
  for (const local of tree.byKey.values()) {
    const identity = identityOf(local.slot);
    const known = index.get(identity);
    if (known) known.push(local);
    else index.set(identity, [local]);
  }
  return index;
}

/** Slots with different identities never name the same tensor. */
function identityOf(slot: TensorSlot): object {
  return slot.held instanceof Tensor ? slot.held.storage : slot.held;
}

function namesSame(a: TensorSlot, b: TensorSlot): boolean {
  if (a === b || a.held === b.held) return true;
  return a.held instanceof Tensor && b.held instanceof Tensor && isSameView(a.held, b.held);
}
