/** Models that torch saved and computed, for every adapter: see test/torch/make_adapter_models.py. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { REPOSITORY } from "../../support/source-files.js";

/** A tensor as expected.json has it. */
export interface Numbers {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

/** What torch was given and what it answered. */
export interface Expected {
  readonly inputs: Numbers;
  readonly outputs: Numbers;
}

const FOLDER = join(REPOSITORY, "test", "fixtures-adapters");
const EXPECTED = new Map(Object.entries(JSON.parse(readFileSync(join(FOLDER, "expected.json"), "utf8")) as Record<string, Expected>));

/** Path of a file beside expected.json. */
export function adapterFixture(name: string): string {
  return join(FOLDER, name);
}

/** What torch computed with the model of this name. */
export function expectedOf(name: string): Expected {
  const found = EXPECTED.get(name);
  if (!found) throw new Error(`expected.json has no ${name}`);
  return found;
}

/** Fails unless the values are torch's to within 1e-5. */
export function expectTorch(name: string, actual: ArrayLike<number>): void {
  const { data } = expectedOf(name).outputs;
  expect(actual.length, name).to.equal(data.length);
  const worst = data.reduce((most, value, index) => Math.max(most, Math.abs(value - (actual[index] ?? Number.NaN))), 0);
  expect(worst, `${name}: largest difference from torch`).to.be.at.most(1e-5);
}

/** The same elements with their axes in another order. */
export function transposed({ shape, data }: Numbers, axes: readonly number[]): { readonly shape: number[]; readonly data: Float32Array } {
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1));
  const sizes = axes.map((axis) => shape[axis] ?? 0);
  const result = new Float32Array(data.length);
  const index = sizes.map(() => 0);
  for (let at = 0; at < result.length; at += 1) {
    result[at] = data[index.reduce((sum, each, axis) => sum + each * (strides[axes[axis] ?? 0] ?? 0), 0)] ?? Number.NaN;
    for (let axis = sizes.length - 1; axis >= 0; axis -= 1) {
      index[axis] = (index[axis] ?? 0) + 1;
      if ((index[axis] ?? 0) < (sizes[axis] ?? 0)) break;
      index[axis] = 0;
    }
  }
  return { shape: sizes, data: result };
}
