/** A state dict in memory described for publication: dense tensors keep the order of their elements, others are laid out row-major. */
import { StateDict, Storage, Tensor } from "@rankcast/core";
import { manifestFromStateDict } from "@rankcast/core/internal";
import { expect } from "chai";

const storage = Storage.allocate(4 * 120);

function strideOf(shape: readonly number[], stride: readonly number[]): readonly number[] | undefined {
  const { manifest } = manifestFromStateDict(new StateDict([["w", new Tensor({ dtype: "float32", shape, stride, storage })]]));
  expect(manifest.storages[0]?.nbytes).to.equal(4 * shape.reduce((product, size) => product * size, 1));
  return manifest.tensors[0]?.stride;
}

describe("core: state dicts in memory as manifests", () => {
  for (const [what, shape, stride] of [
    ["row-major", [2, 3, 4], [12, 4, 1]],
    ["transposed", [3, 2], [1, 3]],
    ["channels last", [2, 3, 4, 5], [60, 1, 15, 3]],
    ["an axis of one element with any stride", [2, 1, 3], [1, 77, 2]],
    ["a scalar", [], []],
  ] as const) {
    it(`${what} stays as it is`, () => {
      expect(strideOf(shape, stride)).to.deep.equal(stride);
    });
  }

  it("an order that is asked for is taken where it leaves no gaps, and once per storage", () => {
    const tensor = new Tensor({ dtype: "float32", shape: [2, 3], storage });
    const names = ["plain", "wished", "gaps", "flat", "again"];
    const order = new Map([
      ["wished", [1, 2]],
      ["gaps", [1, 3]],
      ["flat", [1]],
      ["again", [1, 2]],
    ]);
    const stateDict = new StateDict(names.map((name) => [name, new Tensor({ ...tensor, storage: Storage.allocate(24) })]));
    const { manifest } = manifestFromStateDict(stateDict, order);
    expect(manifest.tensors.map(({ stride }) => stride)).to.deep.equal([
      [3, 1],
      [1, 2],
      [3, 1],
      [3, 1],
      [1, 2],
    ]);
    const tied = new StateDict(["plain", "again", "wished"].map((name) => [name, tensor]));
    expect(manifestFromStateDict(tied, order).manifest.tensors.map(({ stride }) => stride)).to.deep.equal([
      [3, 1],
      [3, 1],
      [3, 1],
    ]);
  });

  for (const [what, shape, stride, expected] of [
    ["every second element", [2, 3], [6, 2], [3, 1]],
    ["a row apart", [2, 3], [4, 1], [3, 1]],
    ["expanded", [3, 4], [0, 1], [4, 1]],
    ["overlapping", [2, 2], [1, 1], [2, 1]],
  ] as const) {
    it(`${what} becomes row-major`, () => {
      expect(strideOf(shape, stride)).to.deep.equal(expected);
    });
  }
});
