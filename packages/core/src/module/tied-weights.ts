/**
 * Tied weights: one tensor of the model under several names. One name in the checkpoint is enough, because safetensors files hold only
 * one; two names with different values are an error, because either choice would be silent (semantics F16).
 */
import type { LoadProblem } from "../report/replica-report.ts";
import type { DType } from "../tensor/dtype.ts";
import { sameShape } from "../tensor/strides.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { LocalKey, ModuleTree } from "./module-tree.ts";
import { haveOwnMemory, PlaceTable } from "./place-table.ts";
import { joinSlot, type PlannedKey } from "./planned-key.ts";
import type { TensorSlot } from "./tensor-slot.ts";
import { castedCopy } from "./write-tensor.ts";

/** Two planned keys that must bring the same values. */
export type TiedPair = readonly [first: PlannedKey, second: PlannedKey];

/** Lets one key of each tied set do the work: it fills the others' slots, the others become `tied`. Returns the pairs to compare. */
export function joinTied(planned: readonly PlannedKey[]): TiedPair[] {
  if (haveOwnMemory(planned.map(({ held }) => held))) return [];
  const places = new PlaceTable<PlannedKey>();
  const pairs: TiedPair[] = [];
  for (const entry of planned) joinKnown(places.at(entry.held), entry, pairs);
  return pairs.filter(([a, b]) => a.plan.fromCheckpoint && b.plan.fromCheckpoint);
}

/** `known` are keys at the same place that are not tied to each other. */
function joinKnown(known: PlannedKey[], entry: PlannedKey, pairs: TiedPair[]): void {
  const at = known.findIndex((other) => isTied(other, entry));
  const first = known[at];
  if (first === undefined) {
    known.push(entry);
    return;
  }
  // A value that is the model's own must not win over one from the checkpoint.
  const [worker, idle] = first.plan.mode === "keep" && entry.plan.mode !== "keep" ? [entry, first] : [first, entry];
  joinSlots(worker, idle);
  known[at] = worker;
  pairs.push([worker, idle]);
}

/** One tensor under two names; or two views of the same elements that would both be written, while adopted ones part ways. */
function isTied(a: PlannedKey, b: PlannedKey): boolean {
  if (a.plan.slot === b.plan.slot || a.held === b.held) return true;
  if (a.plan.mode !== "copy" || b.plan.mode !== "copy") return false;
  return a.held instanceof Tensor && b.held instanceof Tensor && isSameView(a.held, b.held);
}

function joinSlots(worker: PlannedKey, idle: PlannedKey): void {
  idle.plan.mode = "tied";
  for (const slot of [idle.plan.slot, ...idle.plan.alsoIn]) joinSlot(worker.plan, slot);
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
    if (sameValues(first.source, second.source, first.plan.dtype)) return [];
    const message = `tied weights differ: "${first.plan.key}" and "${second.plan.key}" are one tensor of the model, but the checkpoint has different values for them.`;
    return [{ key: second.plan.key, message, fatal: true, mismatchesBefore: Number.MAX_SAFE_INTEGER }];
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
  #places: PlaceTable<LocalKey> | undefined;

  constructor(tree: ModuleTree) {
    this.#tree = tree;
  }

  /** Other keys that name the same tensor. */
  aliasesOf(local: LocalKey): readonly LocalKey[] {
    this.#places ??= indexPlaces(this.#tree);
    return this.#places.at(local.slot.held).filter((other) => other !== local && namesSame(other.slot, local.slot));
  }
}

function indexPlaces(tree: ModuleTree): PlaceTable<LocalKey> {
  const places = new PlaceTable<LocalKey>();
  for (const local of tree.byKey.values()) places.at(local.slot.held).push(local);
  return places;
}

function namesSame(a: TensorSlot, b: TensorSlot): boolean {
  if (a === b || a.held === b.held) return true;
  return a.held instanceof Tensor && b.held instanceof Tensor && isSameView(a.held, b.held);
}
