/** Policies of section H, types (F9) and subtrees (B11, B12). */
import { loadStateDict, Module, Parameter, StateDict } from "@rankcast/core";
import { examineStateDict, planStateDict, selectSubtree } from "@rankcast/core/internal";
import { expect } from "chai";
import { checkpoint, failureOf, linear, nest, ramp, typed, valuesOf, withParameters, zeros } from "./models.ts";

describe("policies", () => {
  it("H2: strict is an error whose message is the table and whose details are counts and first keys", () => {
    const error = failureOf(() => planStateDict(withParameters({ a: [1], b: [1] }), checkpoint({ b: [1], c: [1] }), { strict: true }));
    expect(error).to.include({ code: "RANKCAST_STATE_DICT_STRICT", class: "state-dict" });
    expect(error.details).to.deep.include({
      matched: 1,
      expected: 2,
      missing: 1,
      unexpected: 1,
      firstMissing: ["a"],
      firstUnexpected: ["c"],
    });
    expect(error.message).to.match(/Net: 1\/2 keys loaded, 1 missing, 1 unexpected/);
    expect(error.message).to.match(/missing +a/);
  });

  it("H2: the verdict is the same whenever it is computed", () => {
    const judge = (): unknown => {
      const { message, details } = failureOf(() => planStateDict(linear(2, 2), checkpoint({ "x.weight": [2, 2] }), { strict: true }));
      return { message, details };
    };
    expect(judge()).to.deep.equal(judge());
  });

  it("H4: matching nothing is an error even when not strict, and the model stays", () => {
    const model = linear(1, 1);
    const error = failureOf(() => loadStateDict(model, checkpoint({ "backbone.weight": [1, 1], "backbone.bias": [1] })));
    expect(error).to.include({ code: "RANKCAST_STATE_DICT_NOTHING_MATCHED" });
    expect((error as { remedy?: string }).remedy).to.equal("Try --rev-key '^backbone\\.=>': 2 more keys would match.");
    expect(valuesOf(model)).to.deep.equal({ weight: [0], bias: [0] });
  });

  it("H4: matching nothing is an error when every mismatch is skipped, and for an empty state dict, but not for an empty model", () => {
    const refused = { code: "RANKCAST_STATE_DICT_NOTHING_MATCHED" };
    expect(failureOf(() => loadStateDict(linear(1, 1), checkpoint({ weight: [3, 3] })))).to.include(refused);
    expect(failureOf(() => loadStateDict(linear(1, 1), new StateDict()))).to.include(refused);
    loadStateDict(new Module(), new StateDict(), { strict: true });
  });

  it("H4: minMatched is a share of the model's keys that no rule excused", () => {
    const model = withParameters({ a: [1], b: [1], c: [1], d: [1] });
    const given = checkpoint({ a: [1], b: [1], c: [1] });
    loadStateDict(model, given, { minMatched: 0.75 });
    const error = failureOf(() => loadStateDict(model, given, { minMatched: 0.76 }));
    expect(error).to.include({ code: "RANKCAST_STATE_DICT_MIN_MATCHED" });
    expect(error.message).to.include("3 of 4 keys were matched, minMatched 0.76 asks for 4");
    loadStateDict(model, given, { minMatched: 1, ignore: { missing: ["d"] } });
    expect(failureOf(() => loadStateDict(model, given, { minMatched: 2 }))).to.include({ code: "RANKCAST_USAGE" });
  });

  it("H5: globs and expressions excuse keys by kind, and the report says which rule did", () => {
    const model = nest({ body: linear(1, 1), head: linear(1, 2) });
    const given = checkpoint({
      "body.weight": [1, 1],
      "body.bias": [1],
      "head.weight": [9, 1],
      "ema.body.weight": [1, 1],
      "ema.decay": [],
    });
    const options = { strict: true, ignore: { missing: ["head.?ias"], unexpected: [/^ema\./g], mismatched: ["head.*"] } };
    const report = loadStateDict(model, given, options);
    expect(report.replica.ignoredKeys).to.deep.equal([
      { key: "head.bias", kind: "missing", rule: "head.?ias" },
      { key: "ema.body.weight", kind: "unexpected", rule: "/^ema\\./g" },
      { key: "ema.decay", kind: "unexpected", rule: "/^ema\\./g" },
      { key: "head.weight", kind: "mismatched", rule: "head.*" },
    ]);
    expect(report.replica).to.include({ ignored: 4, matched: 2 });
    expect(report.toTorchMessage()).to.not.include("All keys matched");
  });

  it("H5: a rule of one kind does not excuse another", () => {
    const error = failureOf(() =>
      planStateDict(linear(1, 1), checkpoint({ weight: [1, 1] }), { strict: true, ignore: { unexpected: ["*"] } }),
    );
    expect(error.details).to.deep.include({ firstMissing: ["bias"] });
  });

  it("F9: the model's type wins and every cast is reported with what it may lose", () => {
    const model = new Module();
    model.registerParameter("half", new Parameter(typed("float16", new Uint16Array(1), [1])));
    model.registerParameter("wide", new Parameter(typed("float64", new Float64Array(1), [1])));
    model.registerParameter("real", zeros([1]));
    const given = new StateDict([
      ["half", typed("float32", Float32Array.of(1e6), [1])],
      ["wide", ramp([1], 3)],
      ["real", typed("complex64", Float32Array.of(2, 5), [1])],
    ]);
    const { replica } = loadStateDict(model, given);
    expect(replica.casts).to.deep.equal([
      { key: "half", from: "float32", to: "float16", lossy: "overflow" },
      { key: "wide", from: "float32", to: "float64", lossy: false },
      { key: "real", from: "complex64", to: "float32", lossy: "imaginary" },
    ]);
    expect(valuesOf(model)).to.deep.equal({ half: [Number.POSITIVE_INFINITY], wide: [3], real: [2] });
  });

  it("F9: measured casts tell what happened to the values, each time anew", () => {
    const model = new Module();
    model.registerParameter("half", new Parameter(typed("float16", new Uint16Array(1), [1])));
    const losses = [1e6, 0.1, 2].map((value) => {
      const given = new StateDict([["half", typed("float32", Float32Array.of(value), [1])]]);
      return loadStateDict(model, given, { measureCasts: true }).replica.casts[0]?.lossy;
    });
    expect(losses).to.deep.equal(["overflow", "rounding", false]);
  });

  it("F9: cutting fractions is refused unless allowed", () => {
    const model = new Module();
    model.registerParameter("i", new Parameter(typed("int32", new Int32Array(2), [2])));
    model.registerParameter("b", new Parameter(typed("bool", new Uint8Array(1), [1])));
    model.registerParameter("f", zeros([1]));
    const given = new StateDict([
      ["i", ramp([2], 1.5)],
      ["b", ramp([1], 0.5)],
      ["f", typed("int64", BigInt64Array.of(3n), [1])],
    ]);
    const { mismatched } = loadStateDict(model, given);
    expect(mismatched).to.deep.equal([
      { key: "i", checkpoint: [2], model: [2], reason: "dtype", checkpointDtype: "float32", modelDtype: "int32" },
      { key: "b", checkpoint: [1], model: [1], reason: "dtype", checkpointDtype: "float32", modelDtype: "bool" },
    ]);
    expect(failureOf(() => loadStateDict(model, given, { strict: true })).message).to.include("allowFloatToInt");
    loadStateDict(model, given, { strict: true, allowFloatToInt: true });
    expect(valuesOf(model)).to.deep.equal({ i: [1, 2], b: [1], f: [3] });
  });

  it("F9: dtype error refuses any difference under every policy", () => {
    const model = withParameters({ a: [1], b: [1] });
    const given = new StateDict([
      ["a", ramp([1])],
      ["b", typed("float64", new Float64Array(1), [1])],
    ]);
    const error = failureOf(() => loadStateDict(model, given, { dtype: "error" }));
    expect(error).to.include({ code: "RANKCAST_STATE_DICT_MISMATCH" });
    expect(error.message).to.match(/mismatch +b +float64 +float32/);
  });

  it("F9: dtype keep replaces the model's type, a type's name sets that of all floating point values", () => {
    const given = (): StateDict =>
      new StateDict([
        ["w", typed("float64", Float64Array.of(1, 2), [2])],
        ["n", typed("int64", BigInt64Array.of(5n), [1])],
      ]);
    const make = (): Module => {
      const model = withParameters({ w: [2] });
      model.registerParameter("n", new Parameter(typed("int32", new Int32Array(1), [1])));
      return model;
    };
    const kept = make();
    expect(loadStateDict(kept, given(), { dtype: "keep" }).replica).to.deep.include({ casts: [], copied: 2 });
    expect([...kept.stateDict().values()].map(({ dtype }) => dtype)).to.deep.equal(["float64", "int64"]);
    const halved = make();
    loadStateDict(halved, given(), { dtype: "bfloat16" });
    expect([...halved.stateDict().values()].map(({ dtype }) => dtype)).to.deep.equal(["bfloat16", "int32"]);
    const equal = withParameters({ w: [2] });
    loadStateDict(equal, checkpoint({ w: [2] }), { dtype: "float16" });
    expect(equal.stateDict().get("w")?.dtype, "where model and checkpoint agree on another type, too").to.equal("float16");
    expect(valuesOf(halved)).to.deep.equal({ w: [1, 2], n: [5] });
    expect(failureOf(() => loadStateDict(make(), given(), { dtype: "floaty" as "cast" }))).to.include({ code: "RANKCAST_USAGE" });
  });

  it("F9: quantised values are never cast", () => {
    const model = withParameters({ q: [1], r: [1] });
    const given = new StateDict([
      ["q", typed("qint8", new Int8Array(1), [1])],
      ["r", ramp([1])],
    ]);
    expect(loadStateDict(model, given).mismatched.map(({ reason }) => reason)).to.deep.equal(["dtype"]);
  });

  it("B11: a subtree loads the keys under a prefix, whole components only, with their versions and extra state", () => {
    const given = checkpoint({ "conv2d.weight": [1, 1], "conv2d.bias": [1], "conv2d_2.weight": [2, 2], other: [1] });
    given.metadata.set("conv2d", { version: 3 });
    given.metadata.set("conv2d.deep", { version: 4 });
    given.metadata.set("conv2d_2", { version: 5 });
    given.extraState.set("conv2d._extra_state", 1);
    const part = selectSubtree(given, "conv2d");
    expect([...part.keys()]).to.deep.equal(["weight", "bias"]);
    expect([...part.metadata]).to.have.deep.members([
      ["", { version: 3 }],
      ["deep", { version: 4 }],
    ]);
    expect([...part.extraState.keys()]).to.deep.equal(["_extra_state"]);
    const model = linear(1, 1);
    expect(loadStateDict(model, given, { subtree: "conv2d.", ignore: { unexpected: ["_extra_state"] }, strict: true }).matched).to.equal(2);
  });

  it("B11: a prefix with nothing under it lists the prefixes there are", () => {
    const error = failureOf(() => loadStateDict(linear(1, 1), checkpoint({ "backbone.a": [1], "head.b": [1] }), { subtree: "neck" }));
    expect(error).to.include({ code: "RANKCAST_SELECT_SUBTREE" });
    expect(error.message).to.equal('neck. is not in the pretrained model; its keys start with "backbone", "head"');
  });

  it("B12: subtree with into loads a part into a part", () => {
    const model = nest({ encoder: linear(1, 1), head: linear(1, 1) });
    const report = loadStateDict(model, checkpoint({ "backbone.weight": [1, 1], "backbone.bias": [1], "head.weight": [1] }), {
      subtree: "backbone",
      into: "encoder",
      strict: true,
    });
    expect(report.matched).to.equal(2);
    expect(valuesOf(model)).to.deep.equal({ "encoder.weight": [100], "encoder.bias": [100], "head.weight": [0], "head.bias": [0] });
    expect(failureOf(() => examineStateDict(model, checkpoint({ a: [1] }), { into: "decoder" }))).to.include({
      code: "RANKCAST_MODULE_NAME",
    });
  });
});
