/** Section G of the semantics table: versions, hooks, wrappers. */
import { loadStateDict, Module, ModuleWrapper, Parameter, registerStateMigration, StateDict, Tensor } from "@rankcast/core";
import { examineStateDict, planStateDict } from "@rankcast/core/internal";
import { expect } from "chai";
import { batchNorm, checkpoint, failureOf, linear, nest, ramp, valuesOf, withParameters } from "./models.ts";

const NORM = { "bn.weight": [2], "bn.bias": [2], "bn.running_mean": [2], "bn.running_var": [2] };

describe("versions, hooks and wrappers", () => {
  it("G1: versions of all modules are in the state dict, and a hook sees those of its module", () => {
    const model = nest({ bn: batchNorm(2), lin: linear(1, 1) });
    const stateDict = model.stateDict();
    expect([...stateDict.metadata]).to.deep.equal([
      ["", { version: 1 }],
      ["bn", { version: 2 }],
      ["lin", { version: 1 }],
    ]);
    const seen: unknown[] = [];
    for (const [, module] of model.namedModules()) module.registerLoadPreHook((view) => void seen.push([view.prefix, view.metadata]));
    stateDict.metadata.delete("lin");
    loadStateDict(model, stateDict);
    expect(seen).to.deep.equal([
      ["", { version: 1 }],
      ["bn.", { version: 2 }],
      ["lin.", {}],
    ]);
  });

  it("G2: without a version the model's batch counter stays and counts as defaulted, not as matched", () => {
    const model = nest({ bn: batchNorm(2, 7n) });
    const report = loadStateDict(model, checkpoint(NORM), { defaultIgnores: false, strict: true });
    expect(valuesOf(model)["bn.num_batches_tracked"]).to.deep.equal([7]);
    expect(report.replica).to.include({ matched: 4, expected: 5 });
    expect(report.replica.defaulted.map(({ key }) => key)).to.deep.equal(["bn.num_batches_tracked"]);
    expect(report.toTorchMessage()).to.equal("<All keys matched successfully>");
  });

  it("G2: with version 2 an absent batch counter is missing", () => {
    const given = checkpoint(NORM);
    given.metadata.set("bn", { version: 2 });
    const { report } = examineStateDict(nest({ bn: batchNorm(2) }), given, { defaultIgnores: false });
    expect(report.missing).to.deep.equal(["bn.num_batches_tracked"]);
  });

  it("G2: an unallocated batch counter becomes 0", () => {
    const norm = batchNorm(2);
    norm.registerBuffer("num_batches_tracked", Parameter.meta("int64", []).tensor);
    const model = nest({ bn: norm });
    planStateDict(model, checkpoint(NORM));
    loadStateDict(model, checkpoint(NORM));
    expect(valuesOf(model)["bn.num_batches_tracked"]).to.deep.equal([0]);
  });

  it("G2: defaults alone are not a match", () => {
    const error = failureOf(() => loadStateDict(nest({ bn: batchNorm(2) }), checkpoint({ "other.weight": [2] })));
    expect(error).to.include({ code: "RANKCAST_STATE_DICT_NOTHING_MATCHED" });
  });

  it("G3: batch counters may be missing by a rule that the report shows and that can be switched off", () => {
    const given = checkpoint(NORM);
    given.metadata.set("bn", { version: 2 });
    const model = nest({ bn: batchNorm(2) });
    const report = loadStateDict(model, given, { strict: true });
    expect(report.replica.ignoredKeys).to.deep.equal([
      { key: "bn.num_batches_tracked", kind: "missing", rule: "/(^|\\.)num_batches_tracked$/" },
    ]);
    expect(report.toString()).to.match(/ignored +bn\.num_batches_tracked +missing +allowed by/);
    expect(report.toTorchMessage()).to.not.include("All keys matched");
    const error = failureOf(() => loadStateDict(model, given, { strict: true, defaultIgnores: false }));
    expect(error).to.include({ code: "RANKCAST_STATE_DICT_STRICT" });
  });

  it("G4: a migration of a module type edits its own keys and may add an error, and can be taken away again", () => {
    const dispose = registerStateMigration("OldNorm", (view) => {
      if (view.metadata["version"] !== undefined) return;
      const mean = view.stateDict.get(`${view.prefix}mean`);
      if (mean) view.stateDict.set(`${view.prefix}running_mean`, mean);
      if (!view.stateDict.delete(`${view.prefix}mean`)) view.addError("no mean");
    });
    const norm = withParameters({ running_mean: [2] }, "OldNorm");
    const model = nest({ n: norm, other: withParameters({ running_mean: [2] }) });
    const given = checkpoint({ "n.mean": [2], "other.mean": [2] });
    const { report } = examineStateDict(model, given);
    expect(report).to.include({ matched: 1 });
    expect(report.unexpected).to.deep.equal(["other.mean"]);
    expect(given.has("n.mean")).to.equal(true);
    expect(failureOf(() => loadStateDict(model, checkpoint({ "n.running_mean": [2] }), { strict: true })).message).to.include("no mean");
    dispose();
    expect(examineStateDict(model, given).report.unexpected).to.deep.equal(["n.mean", "other.mean"]);
  });

  it("G5: pre hooks run before a module's own keys; the root's sees all keys, a child's its own part", () => {
    const model = nest({ a: linear(1, 1), b: linear(1, 1) });
    const seen: Record<string, string[]> = {};
    for (const [path, module] of model.namedModules()) {
      module.registerLoadPreHook((view) => {
        seen[path] = view.stateDict.keys();
      });
    }
    loadStateDict(model, checkpoint({ "b.weight": [1, 1], x: [1], "a.bias": [1] }));
    expect(seen).to.deep.equal({ "": ["b.weight", "x", "a.bias"], a: ["a.bias"], b: ["b.weight"] });
  });

  it("G5: edits of a hook are seen below it and nowhere else", () => {
    const block = nest({ lin: linear(1, 1) });
    const model = nest({ block, lin: linear(1, 1) });
    block.registerLoadPreHook((view) => {
      view.stateDict.set("block.lin.bias", ramp([1], 9));
      view.stateDict.set("block.extra", ramp([1]));
      view.stateDict.delete("block.lin.weight");
      view.stateDict.delete("block.lin.bias");
      view.stateDict.set("block.lin.bias", ramp([1], 9));
      expect(view.stateDict.keys()).to.deep.equal(["block.extra", "block.lin.bias"]);
      expect(failureOf(() => view.stateDict.set("lin.bias", ramp([1])))).to.include({ code: "RANKCAST_USAGE" });
      expect(view.stateDict.has("lin.weight")).to.equal(false);
    });
    const given = checkpoint({ "block.lin.weight": [1, 1], "lin.weight": [1, 1] });
    const report = loadStateDict(model, given);
    expect(report.missing).to.deep.equal(["block.lin.weight", "lin.bias"]);
    expect(report.unexpected).to.deep.equal(["block.extra"]);
    expect(valuesOf(model)).to.deep.equal({ "block.lin.weight": [0], "block.lin.bias": [9], "lin.weight": [100], "lin.bias": [0] });
    expect([...given.keys()]).to.deep.equal(["block.lin.weight", "lin.weight"]);
  });

  it("G5: hooks may edit the lists; a disposed hook does not run", () => {
    const model = withParameters({ a: [1], b: [1] });
    const dispose = model.registerLoadPreHook((view) => {
      view.missing.push("promised");
      view.addError("too old");
    });
    const error = failureOf(() => loadStateDict(model, checkpoint({ a: [1], b: [1] }), { strict: true }));
    expect(error.details).to.deep.include({ missing: 1, errors: 1, firstErrors: ["too old"] });
    dispose();
    loadStateDict(model, checkpoint({ a: [1], b: [1] }), { strict: true });
  });

  it("G6: post hooks run children first, and their edits count before strict is decided", () => {
    const model = nest({ a: linear(1, 1), b: nest({ c: linear(1, 1) }) });
    const order: string[] = [];
    for (const [path, module] of model.namedModules()) {
      module.registerLoadPostHook((_, { missing }) => {
        order.push(path);
        if (path === "b") missing.splice(0, missing.length, ...missing.filter((key) => !key.startsWith("b.")));
      });
    }
    const report = loadStateDict(model, checkpoint({ "a.weight": [1, 1], "a.bias": [1] }), { strict: true });
    expect(order).to.deep.equal(["a", "b.c", "b", ""]);
    expect(report.missing).to.deep.equal([]);
  });

  it("G6: a post hook that returns a value is an error, and so is one that throws", () => {
    const model = nest({ a: linear(1, 1) });
    const given = checkpoint({ "a.weight": [1, 1], "a.bias": [1] });
    const dispose = model.registerLoadPostHook((() => 1) as unknown as () => void);
    const returned = failureOf(() => loadStateDict(model, given));
    expect(returned).to.include({ code: "RANKCAST_STATE_DICT_HOOK" });
    expect(returned.message).to.include(
      "not expected to return new values, if incompatible keys need to be modified, it should be done inplace.",
    );
    dispose();
    model.registerLoadPreHook(() => {
      throw new RangeError("hook broke");
    });
    const thrown = failureOf(() => loadStateDict(model, given));
    expect(thrown.message).to.include("hook broke");
    expect(thrown.cause).to.be.instanceOf(RangeError);
    expect(valuesOf(model)).to.deep.equal({ "a.weight": [0], "a.bias": [0] });
  });

  it("G7: wrappers are looked through at any depth, inside each other, too", () => {
    const model = nest({ block: new ModuleWrapper(new ModuleWrapper(linear(1, 1))), tail: linear(1, 1) }, "Model");
    const wrapped = new ModuleWrapper(model);
    const keys = ["block.weight", "block.bias", "tail.weight", "tail.bias"];
    expect([...wrapped.stateDict().keys()]).to.deep.equal(keys);
    expect([...wrapped.stateDict().metadata.keys()]).to.deep.equal(["", "block", "tail"]);
    expect([...wrapped.namedParameters()].map(([name]) => name)).to.deep.equal(keys);
    const report = loadStateDict(
      wrapped,
      checkpoint({ "block.weight": [1, 1], "block.bias": [1], "tail.weight": [1, 1], "tail.bias": [1] }),
      { strict: true },
    );
    expect(report.replica).to.include({ matched: 4, model: "Model" });
    expect(valuesOf(model)["block.weight"]).to.deep.equal([100]);
  });

  it("G7: a model that merely has a wrapper as a child named module is no wrapper", () => {
    const model = nest({ module: new ModuleWrapper(linear(1, 1)), tail: linear(1, 1) });
    expect([...model.stateDict().keys()]).to.deep.equal(["module.weight", "module.bias", "tail.weight", "tail.bias"]);
  });

  it("G8: a child's hook gets the filtered keys even when a prefix is shared by name", () => {
    const model = nest({ conv2d: linear(1, 1), conv2d_2: linear(1, 1) });
    let seen: string[] = [];
    model.getSubmodule("conv2d").registerLoadPreHook((view) => {
      seen = view.stateDict.keys();
    });
    loadStateDict(model, checkpoint({ "conv2d_2.weight": [1, 1], "conv2d.weight": [1, 1] }));
    expect(seen).to.deep.equal(["conv2d.weight"]);
  });

  it("G9: stateDict shows the live tensors without gradient, and saving after loading gives the same keys and versions", () => {
    const model = nest({ bn: batchNorm(1) });
    const live = model.getSubmodule("bn").ownParameters.get("weight");
    const stateDict = model.stateDict();
    expect(stateDict.get("bn.weight")?.storage).to.equal(live?.tensor.storage);
    expect([...stateDict.values()].some((tensor) => tensor.requiresGrad)).to.equal(false);
    const again = nest({ bn: batchNorm(1) });
    loadStateDict(again, stateDict, { strict: true });
    expect([...again.stateDict().keys()]).to.deep.equal([...stateDict.keys()]);
    expect(again.stateDict().metadata).to.deep.equal(stateDict.metadata);
  });

  it("an override of loadFromStateDict loads an old layout and may change the module in the commit only", () => {
    class Fused extends Module {
      loaded = 0;
      override loadFromStateDict(view: Parameters<Module["loadFromStateDict"]>[0]): void {
        const old = view.stateDict.get(`${view.prefix}q`);
        if (old) {
          view.stateDict.delete(`${view.prefix}q`);
          view.stateDict.set(`${view.prefix}qkv`, old);
          view.onCommit({
            apply: () => {
              this.loaded += 1;
            },
          });
        }
        super.loadFromStateDict(view);
      }
    }
    const fused = new Fused();
    fused.registerParameter("qkv", new Parameter(Tensor.from(new Float32Array(2), [2])));
    const model = nest({ attn: fused });
    planStateDict(model, checkpoint({ "attn.q": [2] }), { strict: true });
    expect(fused.loaded).to.equal(0);
    loadStateDict(model, new StateDict([["attn.q", ramp([2], 4)]]), { strict: true });
    expect(fused.loaded).to.equal(1);
    expect(valuesOf(model)).to.deep.equal({ "attn.qkv": [4, 5] });
  });
});
