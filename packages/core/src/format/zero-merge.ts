/**
 * From the ranks' flat vectors to whole parameters. Arithmetic of `zero_to_fp32.py`, whose comments and checks it follows:
 *
 *     stages 1 and 2: group g = rank 0's part | rank 1's part | … | padding      parameters lie in it one behind the other
 *     stage 3:        rank r's vector = r-th part of parameter 0 | r-th part of parameter 1 | …   each ceil(n / ranks) long, the last padded
 */
import { quote } from "../errors/quote.ts";
import type { TensorRef } from "../manifest/checkpoint-tree.ts";
import { elementCount } from "../tensor/strides.ts";
import { leafBytes } from "./table-costs.ts";
import { type FlatRun, tensorOfRuns } from "./zero-flat.ts";
import { failZero, type ModelState, type OptimizerState } from "./zero-states.ts";

/** Counts heap. */
type Charge = (nbytes: number) => void;

/** A run of elements, the piece of a storage that it becomes, and its extent. */
const RUN_BYTES = 280;

/** Whole parameters by name. */
export type MergedParameters = Map<string, TensorRef>;

/** @throws {FormatError} RANKCAST_ZERO_LAYOUT when shapes and vectors do not add up. */
export function mergeStage2(optimizers: readonly OptimizerState[], model: ModelState, charge: Charge): MergedParameters {
  const merged: MergedParameters = new Map();
  const { paramShapes, file } = model;
  for (const { groups, file: each } of optimizers)
    if (groups.length !== paramShapes.length)
      failZero(each.name, `${groups.length} parameter groups where the model has ${paramShapes.length}`);
  for (const [index, shapes] of paramShapes.entries()) {
    const vector = new FlatVector(
      optimizers.map(({ groups, file: each }) => ({ tensor: groups[index] as TensorRef, sourceShift: each.sourceShift })),
    );
    let at = 0;
    for (const [name, shape] of shapes) {
      const count = elementCount(shape);
      if (at + count > vector.count)
        failZero(file.name, `${quote(name)} ends at element ${at + count} of a group of ${vector.count}`, name);
      add(merged, name, shape, vector.runs(at, count), file.name, charge);
      at += count;
    }
    // Vectors are padded to a multiple of twice the number of ranks, and some writers take the padding off again.
    const align = (count: number): number => Math.ceil(count / (2 * optimizers.length)) * 2 * optimizers.length;
    if (align(at) !== align(vector.count)) failZero(file.name, `parameters take ${at} of the ${vector.count} elements of group ${index}`);
  }
  return merged;
}

/** @throws {FormatError} RANKCAST_ZERO_LAYOUT when shapes and vectors do not add up. */
export function mergeStage3(optimizers: readonly OptimizerState[], model: ModelState, charge: Charge): MergedParameters {
  const merged: MergedParameters = new Map();
  const { file } = model;
  const vectors = optimizers.map(
    ({ groups, file: each }) => new FlatVector(groups.map((tensor) => ({ tensor, sourceShift: each.sourceShift }))),
  );
  let at = 0;
  for (const [name, shape] of model.paramShapes.flatMap((shapes) => [...shapes])) {
    const part = Math.ceil(elementCount(shape) / optimizers.length);
    for (const [rank, vector] of vectors.entries())
      if (at + part > vector.count)
        failZero(optimizers[rank]?.file.name ?? file.name, `${quote(name)} ends at element ${at + part} of ${vector.count}`, name);
    add(
      merged,
      name,
      shape,
      vectors.flatMap((vector) => vector.runs(at, part)),
      file.name,
      charge,
    );
    at += part;
  }
  for (const [rank, vector] of vectors.entries())
    if (at !== vector.count) failZero(optimizers[rank]?.file.name ?? file.name, `parameters take ${at} of ${vector.count} elements`);
  return merged;
}

/** Parameters that were not trained have no master weights; each rank's model state holds them (stages 1 and 2) or its part of them (stage 3). */
export function mergeFrozen(models: readonly ModelState[], stage: number, charge: Charge): MergedParameters {
  const merged: MergedParameters = new Map();
  const [first] = models;
  if (first === undefined) return merged;
  for (const [name, shape] of first.frozenShapes) {
    const parts = (stage === 3 ? models : [first]).map(({ frozenFragments, file }) => {
      const tensor = frozenFragments.get(name) ?? failZero(file.name, `no fragment of the frozen parameter ${quote(name)}`, name);
      return { tensor, sourceShift: file.sourceShift };
    });
    const vector = new FlatVector(parts);
    if (vector.count < elementCount(shape))
      failZero(first.file.name, `fragments of ${quote(name)} have ${vector.count} of ${elementCount(shape)} elements`, name);
    add(merged, name, shape, vector.runs(0, vector.count), first.file.name, charge);
  }
  return merged;
}

function add(
  merged: MergedParameters,
  name: string,
  shape: readonly number[],
  runs: readonly FlatRun[],
  file: string,
  charge: Charge,
): void {
  charge(leafBytes(shape.length, 0) + RUN_BYTES * runs.length);
  if (merged.has(name)) failZero(file, `two parameters are named ${quote(name)}`, name);
  merged.set(
    name,
    tensorOfRuns(name, shape, runs) ?? failZero(file, `${quote(name)} lies in compressed records or has several types`, name),
  );
}

/** Tensors one behind the other. */
class FlatVector {
  readonly count: number;
  readonly #parts: readonly { readonly tensor: TensorRef; readonly sourceShift: number; readonly begin: number; readonly end: number }[];
  /** Where the last run was found: parameters come in order. */
  #near = 0;

  constructor(parts: readonly { readonly tensor: TensorRef; readonly sourceShift: number }[]) {
    let end = 0;
    this.#parts = parts.map((part) => {
      const begin = end;
      end += elementCount(part.tensor.shape);
      return { ...part, begin, end };
    });
    this.count = end;
  }

  /** Runs of the elements `[from, from + count)`. */
  runs(from: number, count: number): FlatRun[] {
    const runs: FlatRun[] = [];
    if ((this.#parts[this.#near]?.begin ?? 0) > from) this.#near = 0;
    for (let index = this.#near; index < this.#parts.length; index += 1) {
      const part = this.#parts[index];
      if (part === undefined || part.begin >= from + count) break;
      const { tensor, sourceShift, begin, end } = part;
      const low = Math.max(from, begin);
      const high = Math.min(from + count, end);
      if (low >= high) continue;
      if (low === from) this.#near = index;
      runs.push({ tensor, sourceShift, from: low - begin, count: high - low });
    }
    return runs;
  }
}
