/** The module tree itself. */
import { loadStateDict, Module, ModuleWrapper, moduleFromStateDict, Parameter, StateDict, Tensor, unwrapModule } from "@rankcast/core";
import { expect } from "chai";
import { checkpoint, failureOf, linear, nest, ramp, typed, valuesOf, zeros } from "./models.ts";

describe("Module", () => {
  it("refuses names that are empty, dotted or taken, in torch's words", () => {
    const module = new Module();
    module.registerParameter("w", zeros([1]));
    module.registerModule("m", null);
    const messages = [
      () => module.registerParameter("", null),
      () => module.registerBuffer("a.b", null),
      () => module.registerModule("w", null),
      () => module.registerParameter("m", null),
    ].map((run) => failureOf(run).message);
    expect(messages).to.deep.equal([
      'parameter name can\'t be empty string ""',
      'buffer name can\'t contain ".", got: "a.b"',
      'attribute "w" already exists',
      'attribute "m" already exists',
    ]);
    module.registerParameter("w", null);
  });

  it("lists children, modules, parameters and buffers", () => {
    const model = nest({ a: linear(1, 1), gone: null, b: nest({ c: linear(1, 1) }) });
    model.registerBuffer("hidden", ramp([1]), { persistent: false });
    expect([...model.children()]).to.have.length(2);
    expect([...model.namedChildren()].map(([name]) => name)).to.deep.equal(["a", "b"]);
    expect([...model.namedModules()].map(([path]) => path)).to.deep.equal(["", "a", "b", "b.c"]);
    expect([...model.namedParameters()].map(([name]) => name)).to.deep.equal(["a.weight", "a.bias", "b.c.weight", "b.c.bias"]);
    expect([...model.namedBuffers()].map(([name]) => name)).to.deep.equal(["hidden"]);
    expect(model.getSubmodule("b.c").typeName).to.equal("Linear");
  });

  it("refuses a module that contains itself", () => {
    const inner = nest({});
    const model = nest({ inner });
    inner.registerModule("back", model);
    expect(failureOf(() => model.stateDict())).to.include({ code: "RANKCAST_MODULE_CYCLE" });
  });

  it("unwraps wrappers around wrappers", () => {
    const model = linear(1, 1);
    expect(unwrapModule(new ModuleWrapper(new ModuleWrapper(model)))).to.equal(model);
    expect(unwrapModule(model)).to.equal(model);
  });

  it("gives no gradient to types that have none", () => {
    expect(new Parameter(typed("int64", new BigInt64Array(1), [1])).requiresGrad).to.equal(false);
    expect(new Parameter(ramp([1])).requiresGrad).to.equal(true);
    expect(failureOf(() => new Parameter(typed("int64", new BigInt64Array(1), [1]), { requiresGrad: true }))).to.include({
      code: "RANKCAST_USAGE",
    });
  });
});

describe("moduleFromStateDict", () => {
  const odd = ["a.weight", "a.0.b", "plain", "a", ".lead", "trail.", "x..y", "__proto__.w", "constructor", "a.weight.deep"];

  it("has exactly the keys of the state dict, however odd, and loads them strictly", () => {
    const given = new StateDict(odd.map((key, at) => [key, ramp([2], at)]));
    given.metadata.set("", { version: 1 });
    given.metadata.set("a", { version: 2 });
    given.extraState.set("a._extra_state", "state");
    const model = moduleFromStateDict(given, { meta: true });
    const report = loadStateDict(model, given, { strict: true });
    expect(report.replica).to.include({ matched: odd.length + 1, adopted: odd.length, copied: 0 });
    expect([...model.stateDict().keys()].sort()).to.deep.equal([...odd].sort());
    for (const [key, tensor] of model.stateDict()) expect(tensor.storage, key).to.equal(given.get(key)?.storage);
    expect(model.stateDict().metadata).to.deep.equal(given.metadata);
    expect(model.stateDict().extraState).to.deep.equal(given.extraState);
  });

  it("keeps ties, strides and types", () => {
    const shared = ramp([2, 3]);
    const transposed = typed("float16", new Uint16Array(6), [2, 3]);
    const given = new StateDict([
      ["in.weight", shared],
      ["out.weight", shared],
      ["half.weight", transposed],
    ]);
    const model = moduleFromStateDict(given, { meta: true });
    expect([...model.namedParameters()].map(([name]) => name)).to.deep.equal(["in.weight", "half.weight"]);
    loadStateDict(model, given, { strict: true });
    expect(model.stateDict().get("half.weight")?.dtype).to.equal("float16");
  });

  it("trains what the checkpoint trained", () => {
    const trained = new Tensor({ dtype: "float32", shape: [1], storage: ramp([1]).storage, requiresGrad: true });
    const model = moduleFromStateDict(
      new StateDict([
        ["a", trained],
        ["b", ramp([1])],
      ]),
    );
    expect([...model.namedParameters()].map(([, { requiresGrad }]) => requiresGrad)).to.deep.equal([true, false]);
  });

  it("looks at the memory of the state dict when it is not meta", () => {
    const given = checkpoint({ "a.w": [2] });
    expect(valuesOf(moduleFromStateDict(given))).to.deep.equal({ "a.w": [100, 101] });
  });

  it("does not nest without end", () => {
    const key = "a.".repeat(100_000);
    const given = new StateDict([[key, ramp([1])]]);
    expect([...moduleFromStateDict(given).stateDict().keys()]).to.deep.equal([key]);
  });
});
