/** Tied weights: one tensor of the model under several names (semantics F16). */
import { loadStateDict, Module, Parameter, StateDict, Tensor } from "@rankcast/core";
import { examineStateDict, toTorchMessage, toVis4dMessage } from "@rankcast/core/internal";
import { expect } from "chai";
import { checkpoint, failureOf, linear, nest, ramp, typed, valuesOf, zeros } from "./models.ts";

function tiedModel(parameter = zeros([2])): Module {
  const embed = new Module();
  embed.registerParameter("weight", parameter);
  const head = new Module();
  head.registerParameter("weight", parameter);
  return nest({ embed, head });
}

describe("tied weights", () => {
  it("F16: one name is enough, whichever it is", () => {
    for (const [present, absent] of [
      ["embed.weight", "head.weight"],
      ["head.weight", "embed.weight"],
    ] as const) {
      const model = tiedModel();
      const report = loadStateDict(model, checkpoint({ [present]: [2] }), { strict: true });
      expect(report.replica).to.deep.include({ matched: 1, missing: [], tied: [{ key: absent, sameAs: present }] });
      expect(valuesOf(model)).to.deep.equal({ "embed.weight": [100, 101], "head.weight": [100, 101] });
    }
  });

  it("F16: two names with equal values load once, whatever their types and strides", () => {
    const model = tiedModel();
    const given = new StateDict([
      ["embed.weight", ramp([2], 3)],
      ["head.weight", typed("float64", Float64Array.of(3, 4), [2])],
    ]);
    const report = loadStateDict(model, given, { strict: true });
    expect(report.replica).to.include({ matched: 2, copied: 1 });
    expect(valuesOf(model)).to.deep.equal({ "embed.weight": [3, 4], "head.weight": [3, 4] });
  });

  it("F16: two names with different values are an error under every policy, and nothing changed", () => {
    const model = tiedModel();
    const given = new StateDict([
      ["embed.weight", ramp([2], 3)],
      ["head.weight", ramp([2], 4)],
    ]);
    const error = failureOf(() => loadStateDict(model, given));
    expect(error).to.include({ code: "RANKCAST_STATE_DICT_MISMATCH" });
    expect(error.message).to.include('"embed.weight" and "head.weight" are one tensor of the model');
    expect(valuesOf(model)).to.deep.equal({ "embed.weight": [0, 0], "head.weight": [0, 0] });
  });

  it("F16: the messages of torch and vis4d end with the difference, after all mismatches", () => {
    const model = nest({ tied: tiedModel(), other: linear(2, 3) });
    const given = new StateDict([
      ["tied.embed.weight", ramp([2], 3)],
      ["tied.head.weight", ramp([2], 4)],
      ["other.weight", ramp([7, 7], 0)],
      ["other.bias", ramp([7], 0)],
    ]);
    const { report } = examineStateDict(model, given);
    for (const text of [toTorchMessage(report), toVis4dMessage(report)]) {
      const lines = text.trimEnd().split("\n");
      expect(lines.findIndex((line) => line.includes("size mismatch for other.weight"))).to.be.above(0);
      expect(lines.at(-1)).to.include("tied weights differ");
    }
  });

  it("F16: different values are found when the plan is used again, too", () => {
    const model = tiedModel();
    const same = ramp([2], 3);
    const pair = (second: Tensor): StateDict =>
      new StateDict([
        ["embed.weight", same],
        ["head.weight", second],
      ]);
    loadStateDict(model, pair(ramp([2], 3)));
    loadStateDict(model, pair(ramp([2], 3)));
    expect(failureOf(() => loadStateDict(model, pair(ramp([2], 5))))).to.include({ code: "RANKCAST_STATE_DICT_MISMATCH" });
  });

  it("F16: ties are found in models that live in one buffer, and neighbours are not taken for ties", () => {
    const memory = new Float32Array(6);
    const part = (begin: number, end: number): Parameter => new Parameter(Tensor.from(memory.subarray(begin, end), [end - begin]));
    const model = new Module();
    for (const [name, begin, end] of [
      ["a", 0, 2],
      ["b", 2, 4],
      ["b2", 2, 4],
      ["b3", 2, 3],
      ["c", 4, 6],
    ] as const) {
      model.registerParameter(name, part(begin, end));
    }
    const { report } = examineStateDict(model, checkpoint({ a: [2], b: [2], c: [2] }));
    expect(report.tied).to.deep.equal([{ key: "b2", sameAs: "b" }]);
    expect(report.missing).to.deep.equal(["b3"]);
    const different = new StateDict([
      ["a", ramp([2], 1)],
      ["b", ramp([2], 3)],
      ["b2", ramp([2], 4)],
    ]);
    expect(examineStateDict(model, different).report.errors.map(({ key }) => key)).to.deep.equal(["b2"]);
  });

  it("F16: names without bytes are not compared", () => {
    const model = tiedModel(Parameter.meta("float32", [2]));
    const given = new StateDict([
      ["embed.weight", Parameter.meta("float32", [2]).tensor],
      ["head.weight", Parameter.meta("float32", [2]).tensor],
    ]);
    expect(loadStateDict(model, given, { strict: true }).matched).to.equal(2);
  });

  it("F16: one module under two names is tied in all its keys", () => {
    const shared = linear(1, 1);
    const model = nest({ a: shared, b: shared });
    expect([...model.stateDict().keys()]).to.deep.equal(["a.weight", "a.bias", "b.weight", "b.bias"]);
    expect([...model.namedParameters()].map(([name]) => name)).to.deep.equal(["a.weight", "a.bias"]);
    const { report } = examineStateDict(model, checkpoint({ "b.weight": [1, 1], "a.bias": [1] }));
    expect(report.missing).to.deep.equal([]);
    expect(report.tied.map(({ key }) => key)).to.deep.equal(["a.weight", "b.bias"]);
  });

  it("F16: an adopted tensor reaches every name, for parameters and buffers", () => {
    const model = tiedModel(Parameter.meta("float32", [2]));
    const mask = ramp([1]);
    model.getSubmodule("embed").registerBuffer("mask", mask);
    model.getSubmodule("head").registerBuffer("mask", mask);
    loadStateDict(model, checkpoint({ "head.weight": [2], "head.mask": [1] }), { strict: true, assign: "always" });
    const now = model.stateDict();
    expect(now.get("embed.weight")?.storage).to.equal(now.get("head.weight")?.storage);
    expect(now.get("embed.mask")?.storage).to.equal(now.get("head.mask")?.storage);
    expect(valuesOf(model)).to.deep.include({ "embed.weight": [100, 101], "embed.mask": [100] });
  });

  it("F16: two parameters over the same memory are tied while they are written to", () => {
    const memory = new Float32Array(2);
    const view = (): Parameter => new Parameter(Tensor.from(memory, [2]));
    const model = new Module();
    model.registerParameter("a", view());
    model.registerParameter("b", view());
    expect(loadStateDict(model, checkpoint({ a: [2] }), { strict: true }).replica.tied).to.deep.equal([{ key: "b", sameAs: "a" }]);
    const different = new StateDict([
      ["a", ramp([2], 1)],
      ["b", ramp([2], 2)],
    ]);
    expect(failureOf(() => loadStateDict(model, different))).to.include({ code: "RANKCAST_STATE_DICT_MISMATCH" });
    loadStateDict(model, different, { assign: "always" });
    expect(valuesOf(model)).to.deep.equal({ a: [1, 2], b: [2, 3] });
  });
});
