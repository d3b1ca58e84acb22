/** Taking the same views again without planning. */
import { loadStateDict, Module, Parameter, StateDict, Tensor } from "@rankcast/core";
import { Adoption, commitStateDict, planStateDict } from "@rankcast/core/runtime";
import { expect } from "chai";
import { checkpoint, linear, nest, ramp, typed, valuesOf } from "./models.js";

const SHAPES = { "a.weight": [2, 2], "a.bias": [2], "b.weight": [2, 2], "b.bias": [2] };

function given(from: number): StateDict {
  return new StateDict(Object.entries(SHAPES).map(([key, shape]) => [key, ramp(shape, from)]));
}

function model(): Module {
  return nest({ a: unallocated(), b: unallocated() });
}

function unallocated(): Module {
  const module = new Module();
  module.registerParameter("weight", Parameter.meta("float32", [2, 2]));
  module.registerParameter("bias", Parameter.meta("float32", [2]));
  return module;
}

function adopt(into: Module, stateDict: StateDict): Adoption | null {
  const plan = planStateDict(into, stateDict);
  commitStateDict(plan);
  return Adoption.of(into, plan);
}

/** Of a model that looks at the second of two state dicts: how to go back to the first. */
function twoSets(): { net: Module; first: Adoption; second: Adoption } {
  const net = model();
  const [first, second] = [adopt(net, given(0)), adopt(net, given(10))];
  if (!first || !second) throw new Error("nothing was adopted");
  return { net, first, second };
}

describe("adoption", () => {
  it("puts the views of one state dict and of another in place in turns", () => {
    const { net, first, second } = twoSets();
    for (let turn = 0; turn < 3; turn += 1) {
      expect(first.repeat()).to.equal(true);
      expect(valuesOf(net)["b.weight"]).to.deep.equal([0, 1, 2, 3]);
      expect(second.repeat()).to.equal(true);
      expect(valuesOf(net)["b.weight"]).to.deep.equal([10, 11, 12, 13]);
    }
    expect(first.report).to.include({ matched: 4, adopted: 4, copied: 0 });
  });

  it("shows what is written to the memory meanwhile, under every name of a shared parameter", () => {
    const net = model();
    const shared = net.getSubmodule("a").ownParameters.get("weight") ?? null;
    net.getSubmodule("b").registerParameter("weight", shared);
    const stateDict = given(0);
    stateDict.delete("b.weight");
    const first = adopt(net, stateDict);
    adopt(net, given(10));
    (stateDict.get("a.weight") as Tensor).data.fill(7 as never);
    expect(first?.repeat()).to.equal(true);
    expect(valuesOf(net)["b.weight"]).to.deep.equal([7, 7, 7, 7]);
  });

  it("touches nothing when modules came or went", () => {
    const { net, first } = twoSets();
    net.registerModule("c", linear(1, 1));
    expect(first.repeat()).to.equal(false);
    expect(valuesOf(net)["a.bias"]).to.deep.equal([10, 11]);
  });

  it("touches nothing when a parameter has memory of its own, another type, or another order", () => {
    const others = [
      ramp([2, 2], 50),
      typed("float64", new Float64Array(4), [2, 2]),
      new Tensor({ dtype: "float32", shape: [2, 2], stride: [1, 2], storage: ramp([4]).storage }),
      Parameter.meta("float32", [2, 2]).tensor,
    ];
    for (const other of others) {
      const { net, first } = twoSets();
      // The last key: those before it were looked at and found good.
      net.getSubmodule("b").ownParameters.get("weight")?.replace(other);
      expect(first.repeat()).to.equal(false);
      const untouched = net.getSubmodule("a").ownParameters.get("weight");
      expect([...(untouched?.tensor.data ?? [])]).to.deep.equal([10, 11, 12, 13]);
      expect(net.getSubmodule("b").ownParameters.get("weight")?.held).to.equal(other);
    }
  });

  it("goes on over views of a third state dict, whichever they are", () => {
    const { net, first } = twoSets();
    loadStateDict(net, given(20));
    expect(first.repeat()).to.equal(true);
    expect(valuesOf(net)["a.bias"]).to.deep.equal([0, 1]);
  });

  it("is none for loads that copy, cast, or run code of modules", () => {
    const owner = nest({ a: linear(2, 2), b: linear(2, 2) });
    expect(adopt(owner, checkpoint(SHAPES))).to.equal(null);
    const cast = nest({ a: new Module() });
    cast.getSubmodule("a").registerParameter("weight", Parameter.meta("float64", [2]));
    expect(adopt(cast, checkpoint({ "a.weight": [2] }))).to.equal(null);
    const hooked = model();
    hooked.getSubmodule("a").registerLoadPreHook(() => undefined);
    expect(adopt(hooked, checkpoint(SHAPES))).to.equal(null);
    class Foreign extends Parameter {}
    const other = new Module();
    other.registerParameter("weight", new Foreign(Parameter.meta("float32", [2]).tensor));
    expect(adopt(other, checkpoint({ weight: [2] }))).to.equal(null);
  });
});
