/** What differs between two checkpoints; one tensor of each in memory at a time. */

import { type CompiledRevKeys, compileRevKeys, type RevKeys } from "../rev-keys/compile-rev-keys.ts";
import { requireNoCollision, reviseNames } from "../rev-keys/revise-names.ts";
import { digestTensor } from "../tensor/digest.ts";
import { sameShape } from "../tensor/strides.ts";
import type { FetchHooks, FetchOptions } from "./fetch-options.ts";
import type { InspectedTensor } from "./inspect-checkpoint.ts";
import { type CheckpointHandle, openCheckpoint } from "./open-checkpoint.ts";
import { checkedOptions, FETCH_AND_HOOK_OPTIONS } from "./option-names.ts";

/** One name that is not the same on both sides. */
export interface CheckpointDifference {
  readonly name: string;
  readonly kind: "only-in-a" | "only-in-b" | "shape" | "dtype" | "values";
  /** `float32 [3, 4]`, absent on the side that lacks the name. */
  readonly a?: string;
  readonly b?: string;
}

/** The JSON of `rankcast diff`. */
export interface DiffReport {
  readonly a: string;
  readonly b: string;
  /** Names that are alike in shape, type and values. */
  readonly equal: number;
  readonly differences: readonly CheckpointDifference[];
}

/** Options of `diffCheckpoints`. */
export interface DiffOptions extends FetchOptions, FetchHooks {
  /** Key rewrites in order, on both sides. Default none: names are compared as they stand. */
  readonly revKeys?: RevKeys;
}

/**
 * Compares names, shapes, types and values of the selected state dicts.
 * @throws {SourceError} when bytes cannot be had; {FormatError} when a side is no checkpoint; {StateDictError} when one holds no state dict.
 */
export async function diffCheckpoints(a: string, b: string, given: DiffOptions = {}): Promise<DiffReport> {
  const { revKeys = [], ...options } = checkedOptions("diffCheckpoints", given, { ...FETCH_AND_HOOK_OPTIONS, revKeys: true });
  const rules = compileRevKeys(revKeys);
  await using left = await openCheckpoint(a, options);
  await using right = await openCheckpoint(b, options);
  const others = new Map(renamedTensors(right, rules));
  const differences: CheckpointDifference[] = [];
  let equal = 0;
  for (const [name, tensor] of renamedTensors(left, rules)) {
    const other = others.get(name);
    others.delete(name);
    const kind = other ? await compare(left, right, tensor, other) : "only-in-a";
    if (kind === null) equal += 1;
    else differences.push({ name, kind, a: describe(tensor), ...(other ? { b: describe(other) } : {}) });
  }
  for (const [name, tensor] of others) differences.push({ name, kind: "only-in-b", b: describe(tensor) });
  return { a: left.name, b: right.name, equal, differences };
}

/** Tensors under the names that the rules give them. @throws {StateDictError} RANKCAST_REV_KEY_COLLISION when two get one name. */
function renamedTensors({ tensors }: CheckpointHandle, rules: CompiledRevKeys): [string, InspectedTensor][] {
  const revised = reviseNames(
    tensors.map(({ name }) => name),
    [],
    rules,
  );
  requireNoCollision(revised, rules);
  return revised.entries.flatMap(([name, index]) => {
    const tensor = tensors[index];
    return tensor ? [[name, tensor] as [string, InspectedTensor]] : [];
  });
}

async function compare(
  left: CheckpointHandle,
  right: CheckpointHandle,
  a: InspectedTensor,
  b: InspectedTensor,
): Promise<CheckpointDifference["kind"] | null> {
  if (!sameShape(a.shape, b.shape)) return "shape";
  if (a.dtype !== b.dtype) return "dtype";
  const [one, other] = [await left.tensor(a.name), await right.tensor(b.name)];
  if (one.isMeta || other.isMeta) return one.isMeta === other.isMeta ? null : "values";
  return digestTensor(one) === digestTensor(other) ? null : "values";
}

function describe({ dtype, shape }: InspectedTensor): string {
  return `${dtype} [${shape.join(", ")}]`;
}
