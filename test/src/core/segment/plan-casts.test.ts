/** Which storages are cast once per node, and where the casts lie. */
import { StateDict, Tensor } from "@rankcast/core";
import { castPlacements, manifestFromStateDict, placeCasts, planCasts, type StateDictManifest } from "@rankcast/core/runtime";
import { expect } from "chai";

const MIB = 2 ** 20;

function manifest(): StateDictManifest {
  const bf16 = Tensor.from(new Uint16Array(6), [2, 3], { dtype: "bfloat16" });
  return manifestFromStateDict(
    new StateDict([
      ["a", bf16],
      ["same", Tensor.from(new Float32Array(4), [4])],
      ["counts", Tensor.from(new Int32Array(4), [4])],
      ["half", Tensor.from(new Uint16Array(5), [5], { dtype: "float16" })],
      ["empty", Tensor.from(new Uint16Array(0), [0], { dtype: "float16" })],
      ["double", Tensor.from(new Float64Array(3), [3])],
    ]),
  ).manifest;
}

describe("segment: casts once per node", () => {
  it("every storage of one other floating point type, side by side and aligned", () => {
    const plan = planCasts(manifest(), "float32", { windowBytes: MIB });
    expect(plan.casts.map(({ from, count, target }) => [from, count, target.segment, target.byteOffset, target.nbytes])).to.deep.equal([
      ["bfloat16", 6, 0, 0, 24],
      ["float16", 5, 0, 64, 20],
      ["float64", 3, 0, 128, 12],
    ]);
    expect(plan.segmentBytes).to.deep.equal([140]);
  });

  it("a window bounds a segment, and leaves out what alone is larger", () => {
    const plan = planCasts(manifest(), "float32", { windowBytes: 23 });
    expect(plan.casts.map(({ target }) => [target.segment, target.byteOffset, target.nbytes])).to.deep.equal([
      [0, 0, 20],
      [1, 0, 12],
    ]);
  });

  it("not where tensors of a storage are not row-major, of several types, or to be negated", () => {
    const base = manifest();
    const [first] = base.tensors;
    if (!first) throw new Error("no tensor");
    const without = (change: object): number => {
      const tensors = [{ ...first, ...change }, ...base.tensors.slice(1)];
      return planCasts({ ...base, tensors }, "float32", { windowBytes: MIB }).casts.filter(({ storage }) => storage === first.storage)
        .length;
    };
    expect(without({})).to.equal(1);
    expect(without({ shape: [3, 2], stride: [1, 3] })).to.equal(0);
    expect(without({ neg: true })).to.equal(0);
    const alias = { ...first, name: "alias", dtype: "float16" as const };
    expect(planCasts({ ...base, tensors: [...base.tensors, alias] }, "float32", { windowBytes: MIB }).casts[0]?.storage).to.not.equal(
      first.storage,
    );
  });

  it("nothing for types that are no floats", () => {
    expect(planCasts(manifest(), "int32", { windowBytes: MIB }).casts).to.deep.equal([]);
  });

  it("the wire form says where each cast lies", () => {
    const described = manifest();
    const plan = planCasts(described, "float32", { windowBytes: MIB });
    const placed = placeCasts(plan, [{ kind: "memfd", path: "/nowhere", nbytes: 140 }], described.storages.length);
    const placements = castPlacements(JSON.parse(JSON.stringify(placed)) as typeof placed, described);
    expect(placements.filter((each) => each !== null)).to.deep.equal(plan.casts.map(({ target }) => target));
  });
});
