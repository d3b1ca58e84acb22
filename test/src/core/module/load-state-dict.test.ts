/** Section F of the semantics table: the core of loading. */
import { loadStateDict, Module, Parameter, StateDict, Tensor } from "@rankcast/core";
import { examineStateDict, planStateDict, toTorchMessage } from "@rankcast/core/internal";
import { expect } from "chai";
import { checkpoint, failureOf, linear, nest, ramp, typed, valuesOf, withParameters, zeros } from "./models.ts";

describe("loadStateDict", () => {
  it("F1: a list is refused with torch's sentence", () => {
    const error = failureOf(() => loadStateDict(linear(1, 1), [] as unknown as StateDict));
    expect(error.message).to.equal("Expected state_dict to be dict-like, got Array.");
    expect(error).to.include({ code: "RANKCAST_STATE_DICT_TYPE" });
  });

  it("F1: a plain Map is a state dict without metadata", () => {
    const model = withParameters({ w: [2] });
    loadStateDict(model, new Map([["w", ramp([2], 5)]]));
    expect(valuesOf(model)).to.deep.equal({ w: [5, 6] });
  });

  it("F2: parameters, then persistent buffers, then children in order of registration", () => {
    const model = new Module();
    model.registerModule("z", linear(1, 1));
    model.registerBuffer("b", ramp([1]));
    model.registerBuffer("hidden", ramp([1]), { persistent: false });
    model.registerParameter("p", zeros([1]));
    model.registerParameter("none", null);
    model.registerModule("gone", null);
    model.registerModule("a", linear(1, 1));
    expect([...model.stateDict().keys()]).to.deep.equal(["p", "b", "z.weight", "z.bias", "a.weight", "a.bias"]);
    const { missing } = examineStateDict(model, checkpoint({ x: [1] })).report;
    expect(missing).to.deep.equal(["p", "b", "z.weight", "z.bias", "a.weight", "a.bias"]);
  });

  it("F3: names of modules, keys below parameters, keys of null parameters and of non-persistent buffers are unexpected", () => {
    const model = new Module();
    model.registerModule("a", linear(1, 1));
    model.registerParameter("none", null);
    model.registerBuffer("hidden", ramp([1]), { persistent: false });
    const given = checkpoint({ a: [1], "a.weight": [1, 1], "a.bias": [1], "a.weight.x": [1], none: [1], hidden: [1], "b.c": [1] });
    const { report } = examineStateDict(model, given);
    expect(report.unexpected).to.deep.equal(["a", "none", "hidden", "b.c", "a.weight.x"]);
    expect(report.matched).to.equal(2);
  });

  it("F4: keys under a child that is registered as absent are unexpected, where torch says nothing", () => {
    const model = nest({ a: linear(1, 1), gone: null });
    const { report } = examineStateDict(model, checkpoint({ "a.weight": [1, 1], "a.bias": [1], "gone.weight": [1] }));
    expect(report.unexpected).to.deep.equal(["gone.weight"]);
  });

  it("F5: toTorchMessage is torch's text, trailing blanks included", () => {
    const model = withParameters({ a: [1], b: [1], q: [3, 2], s: [] }, "Head");
    const { report } = examineStateDict(model, checkpoint({ c: [1], q: [4, 2], s: [2] }), { strict: true });
    const error = failureOf(() => planStateDict(model, checkpoint({ c: [1], q: [4, 2] }), { strict: true }));
    expect(error).to.include({ code: "RANKCAST_STATE_DICT_STRICT" });
    expect(toTorchMessage(report)).to.equal(
      'Error(s) in loading state_dict for Head:\n\tMissing key(s) in state_dict: "a", "b". \n\tUnexpected key(s) in state_dict: "c". \n\t' +
        "size mismatch for q: copying a param with shape torch.Size([4, 2]) from checkpoint, the shape in current model is torch.Size([3, 2]).\n\t" +
        "size mismatch for s: copying a param with shape torch.Size([2]) from checkpoint, the shape in current model is torch.Size([]).",
    );
  });

  it("F6: a shape that differs is skipped and reported when not strict, refused when strict or asked to", () => {
    const model = withParameters({ q: [3, 2], r: [1] });
    const given = checkpoint({ q: [4, 2], r: [1] });
    const report = loadStateDict(model, given);
    expect(report.mismatched).to.deep.equal([{ key: "q", checkpoint: [4, 2], model: [3, 2] }]);
    expect(valuesOf(model)).to.deep.equal({ q: [0, 0, 0, 0, 0, 0], r: [100] });
    expect(failureOf(() => loadStateDict(model, given, { strict: true }))).to.include({ code: "RANKCAST_STATE_DICT_STRICT" });
    expect(failureOf(() => loadStateDict(model, given, { onMismatch: "error" }))).to.include({ code: "RANKCAST_STATE_DICT_MISMATCH" });
    loadStateDict(model, given, { strict: true, onMismatch: "skip" });
  });

  it("F7: a scalar takes a vector of one element, not the other way round, and not a longer one", () => {
    const model = withParameters({ s: [], v: [1], w: [] });
    const report = loadStateDict(model, checkpoint({ s: [1], v: [], w: [2] }));
    expect(valuesOf(model)).to.deep.equal({ s: [100], v: [0], w: [0] });
    expect(report.mismatched.map(({ key }) => key)).to.deep.equal(["v", "w"]);
  });

  it("F8: a value that is no tensor is named with its type", () => {
    const model = withParameters({ a: [1], b: [1] });
    const given = new Map<string, unknown>([
      ["a", [1]],
      ["b", ramp([1], 7)],
    ]);
    const report = loadStateDict(model, given);
    expect(report.toTorchMessage()).to.equal(
      'Error(s) in loading state_dict for Net:\n\tWhile copying the parameter named "a", expected torch.Tensor or Tensor-like object from checkpoint but received Array',
    );
    expect(failureOf(() => loadStateDict(model, given, { strict: true }))).to.include({ code: "RANKCAST_STATE_DICT_STRICT" });
  });

  it("F10: a copy that cannot be made is told in torch's words, with the shapes of both sides", () => {
    const one = Tensor.from(new Float32Array(1), [1]);
    const model = new Module({ typeName: "Net" });
    model.registerParameter("w", new Parameter(new Tensor({ dtype: "float32", shape: [3], stride: [0], storage: one.storage })));
    model.registerParameter("v", zeros([1]));
    const report = loadStateDict(model, checkpoint({ w: [3], v: [1] }));
    expect(report.toTorchMessage()).to.equal(
      'Error(s) in loading state_dict for Net:\n\tWhile copying the parameter named "w", whose dimensions in the model are torch.Size([3]) and ' +
        "whose dimensions in the checkpoint are torch.Size([3]), an exception occurred : ('unsupported operation: more than one element of the " +
        "written-to tensor refers to a single memory location. Please clone() the tensor before performing the operation.',).",
    );
  });

  it("F11: on failure nothing changed", () => {
    const model = withParameters({ a: [2], b: [2], q: [3] });
    const before = model.stateDict();
    const given = checkpoint({ a: [2], b: [2], q: [4] });
    failureOf(() => loadStateDict(model, given, { strict: true, assign: "always" }));
    failureOf(() => loadStateDict(model, given, { strict: true }));
    expect(valuesOf(model)).to.deep.equal({ a: [0, 0], b: [0, 0], q: [0, 0, 0] });
    for (const [key, tensor] of model.stateDict()) expect(tensor).to.equal(before.get(key));
  });

  it("F12: assign adopts the checkpoint's memory and strides and keeps the model's requiresGrad", () => {
    const model = new Module();
    model.registerParameter("w", new Parameter(ramp([2, 3]), { requiresGrad: false }));
    const { storage } = ramp([2, 3], 50);
    const transposed = new Tensor({ dtype: "float32", shape: [2, 3], stride: [1, 2], storage, requiresGrad: true });
    const report = loadStateDict(model, new StateDict([["w", transposed]]), { assign: true });
    const now = model.ownParameters.get("w");
    expect(now?.tensor.storage).to.equal(storage);
    expect(now?.tensor.stride).to.deep.equal([1, 2]);
    expect(now?.requiresGrad).to.equal(false);
    expect(now?.tensor.requiresGrad).to.equal(false);
    expect(report.replica).to.include({ adopted: 1, copied: 0 });
  });

  it("F12: assign obeys the dtype policy; keep gives torch's way", () => {
    const given = new StateDict([["w", typed("float64", Float64Array.of(1, 2), [2])]]);
    const cast = withParameters({ w: [2] });
    loadStateDict(cast, given, { assign: true });
    expect(cast.ownParameters.get("w")?.dtype).to.equal("float32");
    const kept = withParameters({ w: [2] });
    loadStateDict(kept, given, { assign: true, dtype: "keep" });
    expect(kept.ownParameters.get("w")?.dtype).to.equal("float64");
    expect(kept.ownParameters.get("w")?.tensor.storage).to.equal(given.get("w")?.storage);
  });

  it("F13: the inputs are never changed, and a flag in metadata is not obeyed", () => {
    const model = withParameters({ w: [2] });
    const given = checkpoint({ w: [2] });
    given.metadata.set("", { version: 1, assign_to_params_buffers: true });
    let seen: unknown;
    model.registerLoadPreHook((view) => {
      seen = view.metadata;
      view.stateDict.set("w", ramp([2], 9));
    });
    const memory = model.ownParameters.get("w")?.tensor;
    loadStateDict(model, given, { assign: false });
    loadStateDict(model, given, { assign: true });
    expect(seen).to.deep.equal({ version: 1 });
    expect([...given.metadata]).to.deep.equal([["", { version: 1, assign_to_params_buffers: true }]]);
    expect([...(given.get("w")?.toFloat32Array() ?? [])]).to.deep.equal([100, 101]);
    expect([...(memory?.toFloat32Array() ?? [])]).to.deep.equal([9, 10]);
  });

  it("F14: an unallocated parameter gets the checkpoint's memory, or memory of its own when asked", () => {
    const given = checkpoint({ w: [2] });
    const adopting = new Module();
    adopting.registerParameter("w", Parameter.meta("float32", [2]));
    expect(loadStateDict(adopting, given).replica).to.include({ adopted: 1, copied: 0, matched: 1 });
    expect(adopting.ownParameters.get("w")?.tensor.storage).to.equal(given.get("w")?.storage);
    const owning = new Module();
    owning.registerParameter("w", Parameter.meta("float32", [2]));
    expect(loadStateDict(owning, given, { assign: "never" }).replica).to.include({ adopted: 0, copied: 1 });
    expect(owning.ownParameters.get("w")?.tensor.storage).to.not.equal(given.get("w")?.storage);
    expect(valuesOf(owning)).to.deep.equal({ w: [100, 101] });
  });

  it("F14: memory that was adopted is replaced by the next load, not written to", () => {
    const model = new Module();
    model.registerParameter("w", Parameter.meta("float32", [2]));
    const first = checkpoint({ w: [2] });
    loadStateDict(model, first);
    loadStateDict(model, new StateDict([["w", ramp([2], 7)]]));
    expect(valuesOf(model)).to.deep.equal({ w: [7, 8] });
    expect([...(first.get("w")?.toFloat32Array() ?? [])]).to.deep.equal([100, 101]);
  });

  it("F15: an open shape is fixed by the first load and checked by the second", () => {
    const model = new Module();
    model.registerParameter("w", Parameter.meta("float32", null));
    expect(failureOf(() => model.ownParameters.get("w")?.tensor).message).to.match(
      /^Can't access the shape of an uninitialized parameter or buffer\./,
    );
    expect(failureOf(() => model.stateDict())).to.include({ code: "RANKCAST_PARAMETER_OPEN" });
    loadStateDict(model, checkpoint({ w: [3, 1] }));
    expect(model.ownParameters.get("w")?.shape).to.deep.equal([3, 1]);
    expect(failureOf(() => loadStateDict(model, checkpoint({ w: [4] }), { strict: true }))).to.include({
      code: "RANKCAST_STATE_DICT_STRICT",
    });
  });

  it("F17: extra state is set, missing or unexpected as in torch, and can be ignored", () => {
    const settable = new Module({ typeName: "Quantiser" });
    let state: unknown = "old";
    settable.getExtraState = () => state;
    settable.setExtraState = (next) => {
      state = next;
    };
    const model = nest({ q: settable, plain: linear(1, 1) });
    const given = checkpoint({ "plain.weight": [1, 1], "plain.bias": [1] });
    const absent = examineStateDict(model, given).report;
    expect(absent.missing).to.deep.equal(["q._extra_state"]);
    expect(examineStateDict(model, given, { ignore: { missing: ["*_extra_state"] } }).report.missing).to.deep.equal([]);
    given.extraState.set("q._extra_state", { scale: 2 });
    given.extraState.set("plain._extra_state", 1);
    given.extraState.set("nowhere.deep._extra_state", 1);
    const report = loadStateDict(model, given);
    expect(state).to.deep.equal({ scale: 2 });
    expect(report.unexpected).to.deep.equal(["nowhere.deep._extra_state", "plain._extra_state"]);
    expect(model.stateDict().extraState).to.deep.equal(new Map([["q._extra_state", { scale: 2 }]]));
  });

  it("F17: extra state that is a tensor lies among the tensors", () => {
    let state: unknown;
    const settable = new Module();
    settable.setExtraState = (next) => {
      state = next;
    };
    const given = checkpoint({ "q._extra_state": [1], "p._extra_state": [1] });
    const report = loadStateDict(nest({ q: settable, p: linear(1, 1) }), given);
    expect(state).to.equal(given.get("q._extra_state"));
    expect(report.unexpected).to.deep.equal(["p._extra_state"]);
  });

  it("F18: torch's sentence of success stands only for a load that was truly clean", () => {
    const clean = loadStateDict(withParameters({ w: [2] }), checkpoint({ w: [2] }));
    expect(clean.toTorchMessage()).to.equal("<All keys matched successfully>");
    expect(clean.toString()).to.include("<All keys matched successfully>");
    const mismatched = loadStateDict(withParameters({ w: [2], v: [1] }), checkpoint({ w: [2], v: [3] }));
    expect(mismatched.toTorchMessage()).to.not.include("All keys matched");
    expect(mismatched.toString()).to.not.include("All keys matched");
  });

  it("F19: a transposed checkpoint tensor is copied by value and the model keeps its layout", () => {
    const transposed = new Tensor({ dtype: "float32", shape: [2, 3], stride: [1, 2], storage: ramp([6]).storage });
    const allocated = withParameters({ w: [2, 3] });
    loadStateDict(allocated, new StateDict([["w", transposed]]));
    const unallocated = new Module();
    unallocated.registerParameter("w", Parameter.meta("float32", [2, 3]));
    loadStateDict(unallocated, new StateDict([["w", transposed]]));
    for (const model of [allocated, unallocated]) {
      expect(model.ownParameters.get("w")?.tensor.stride).to.deep.equal([3, 1]);
      expect(valuesOf(model)).to.deep.equal({ w: [0, 2, 4, 1, 3, 5] });
    }
  });
});
