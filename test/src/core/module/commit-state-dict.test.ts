/** The commit: all or nothing (law L10, semantics F11). */
import { castTensor, loadStateDict, Module, Parameter, StateDict, Storage, Tensor } from "@rankcast/core";
import { commitStateDict, planStateDict } from "@rankcast/core/internal";
import { stageStateDict } from "@rankcast/core/runtime";
import { expect } from "chai";
import { checkpoint, failureOf, nest, ramp, valuesOf, withParameters } from "./models.ts";

function withState(set: (state: unknown) => void, get?: () => unknown): Module {
  const module = withParameters({ w: [2] });
  module.setExtraState = set;
  if (get) module.getExtraState = get;
  return module;
}

describe("commitStateDict", () => {
  it("L10: planning changes nothing, the commit everything", () => {
    const model = nest({ a: withParameters({ w: [2] }) });
    model.getSubmodule("a").registerParameter("m", Parameter.meta("float32", [1]));
    const plan = planStateDict(model, checkpoint({ "a.w": [2], "a.m": [1] }));
    expect(model.getSubmodule("a").ownParameters.get("m")?.tensor.isMeta).to.equal(true);
    expect(plan.report).to.include({ matched: 2, adopted: 1, copied: 1 });
    commitStateDict(plan);
    expect(valuesOf(model)).to.deep.equal({ "a.w": [100, 101], "a.m": [100] });
  });

  it("L10: new tensors can be made ahead of the commit; the model is not touched by it", () => {
    const model = withParameters({ own: [2] });
    model.registerParameter("half", Parameter.meta("float16", [3]));
    const given = checkpoint({ own: [2], half: [3] });
    const allocated: number[] = [];
    const allocate = (sizeBytes: number): Storage => {
      allocated.push(sizeBytes);
      return Storage.allocate(sizeBytes);
    };
    const before = valuesOf(withParameters({ own: [2] }));
    const plan = planStateDict(model, given, { allocate });
    expect(allocated).to.deep.equal([]);
    stageStateDict(plan);
    expect(allocated).to.deep.equal([6]);
    expect(model.ownParameters.get("half")?.tensor.isMeta).to.equal(true);
    expect([...(model.ownParameters.get("own")?.tensor.toFloat32Array() ?? [])]).to.deep.equal(before["own"]);
    commitStateDict(plan);
    expect(allocated, "the commit made nothing new").to.deep.equal([6]);
    expect(model.stateDict().get("half")?.dtype).to.equal("float16");
    expect([...(model.stateDict().get("half")?.toFloat32Array() ?? [])]).to.deep.equal([...(given.get("half")?.toFloat32Array() ?? [])]);
  });

  it("a cast that exists already takes the place of one that would be made", () => {
    const model = new Module();
    model.registerParameter("half", Parameter.meta("float16", [3]));
    model.registerParameter("same", Parameter.meta("float32", [1]));
    const given = checkpoint({ half: [3], same: [1] });
    const made = castTensor(given.get("half") ?? ramp([3]), "float16");
    const asked: unknown[] = [];
    const plan = planStateDict(model, given, {
      castOf: (source, dtype) => {
        asked.push([source.shape, dtype]);
        return made;
      },
    });
    expect(plan.report.casts.map(({ key, from, to }) => [key, from, to])).to.deep.equal([["half", "float32", "float16"]]);
    stageStateDict(plan);
    commitStateDict(plan);
    expect(new Set(asked.map(String))).to.deep.equal(new Set(["3,float16"]));
    expect(model.stateDict().get("half")?.storage).to.equal(made.storage);
    // Others may look at those bytes: the next load must not write into them.
    loadStateDict(model, checkpoint({ half: [3], same: [1] }));
    expect(model.stateDict().get("half")?.storage).to.not.equal(made.storage);
  });

  it("L10: a plan is committed once", () => {
    const model = withParameters({ w: [2] });
    const plan = planStateDict(model, checkpoint({ w: [2] }));
    commitStateDict(plan);
    expect(failureOf(() => commitStateDict(plan))).to.include({ code: "RANKCAST_STATE_DICT_STALE_PLAN" });
  });

  it("L10: a plan for a model that changed since is refused", () => {
    const model = withParameters({ w: [2], v: [1] });
    const plan = planStateDict(model, checkpoint({ w: [2], v: [1] }));
    model.ownParameters.get("v")?.replace(ramp([5]));
    const error = failureOf(() => commitStateDict(plan));
    expect(error).to.include({ code: "RANKCAST_STATE_DICT_STALE_PLAN" });
    expect(valuesOf(model)["w"]).to.deep.equal([0, 0]);
  });

  it("F11: extra state that throws half way is taken back, and no tensor was touched", () => {
    let first: unknown = "old";
    const good = withState(
      (state) => {
        first = state;
      },
      () => first,
    );
    const bad = withState(() => {
      throw new Error("bad state");
    });
    const model = nest({ good, bad });
    good.registerParameter("m", Parameter.meta("float32", [1]));
    const given = checkpoint({ "good.w": [2], "good.m": [1], "bad.w": [2] });
    given.extraState.set("good._extra_state", "new");
    given.extraState.set("bad._extra_state", "new");
    const error = failureOf(() => loadStateDict(model, given));
    expect(error).to.include({ code: "RANKCAST_STATE_DICT_COMMIT" });
    expect(error.details["restored"]).to.equal(true);
    expect((error.cause as Error).message).to.equal("bad state");
    expect(first).to.equal("old");
    expect(good.ownParameters.get("m")?.tensor.isMeta).to.equal(true);
    expect(good.ownParameters.get("w")?.tensor.toFloat32Array()).to.deep.equal(new Float32Array(2));
  });

  it("F11: a hook's action that throws takes back copied bytes, adopted tensors and earlier actions", () => {
    const model = withParameters({ w: [2] });
    model.registerParameter("m", Parameter.meta("float32", [1]));
    const events: string[] = [];
    model.registerLoadPreHook((view) => {
      view.onCommit({ apply: () => events.push(`apply ${valuesOf(model)["w"]}`), undo: () => events.push(`undo ${valuesOf(model)["w"]}`) });
      view.onCommit({
        apply: () => {
          throw new Error("no");
        },
      });
    });
    const error = failureOf(() => loadStateDict(model, checkpoint({ w: [2], m: [1] })));
    expect(error.details["restored"]).to.equal(true);
    expect(events).to.deep.equal(["apply 100,101", "undo 100,101"]);
    expect(model.ownParameters.get("m")?.tensor.isMeta).to.equal(true);
    expect([...(model.ownParameters.get("w")?.tensor.toFloat32Array() ?? [])]).to.deep.equal([0, 0]);
  });

  it("F11: says so when taking back fails, with all causes", () => {
    const fragile = withState(
      (state) => {
        if (state === "old") throw new Error("cannot go back");
      },
      () => "old",
    );
    const bad = withState(() => {
      throw new Error("bad state");
    });
    const given = checkpoint({ "fragile.w": [2] });
    given.extraState.set("fragile._extra_state", "new");
    given.extraState.set("bad._extra_state", "new");
    const error = failureOf(() => loadStateDict(nest({ fragile, bad }), given));
    expect(error.details["restored"]).to.equal(false);
    expect((error.cause as AggregateError).errors.map(String)).to.deep.equal(["Error: bad state", "Error: cannot go back"]);
  });

  it("F11: several changes are taken back in reverse order", () => {
    const events: string[] = [];
    const model = withParameters({ w: [1] });
    model.registerLoadPreHook((view) => {
      for (const name of ["first", "second"]) view.onCommit({ apply: () => events.push(name), undo: () => events.push(`undo ${name}`) });
      view.onCommit({
        apply: () => {
          throw new Error("third");
        },
      });
    });
    failureOf(() => loadStateDict(model, checkpoint({ w: [1] })));
    expect(events).to.deep.equal(["first", "second", "undo second", "undo first"]);
  });

  it("F11: want of memory is noticed before anything changed", () => {
    const model = withParameters({ w: [2] });
    model.registerParameter("m", Parameter.meta("float32", [1]));
    const given = checkpoint({ w: [2], m: [1] });
    const allocate = (): never => {
      throw new RangeError("Array buffer allocation failed");
    };
    const error = failureOf(() => loadStateDict(model, given, { assign: "never", allocate }));
    expect(error).to.include({ code: "RANKCAST_STATE_DICT_COMMIT" });
    expect(error.details["restored"]).to.equal(true);
    expect([...(model.ownParameters.get("w")?.tensor.toFloat32Array() ?? [])]).to.deep.equal([0, 0]);
  });

  it("a model loads its own state dict, also with its names exchanged", () => {
    const model = withParameters({ a: [2], b: [2] });
    loadStateDict(
      model,
      new StateDict([
        ["a", ramp([2], 1)],
        ["b", ramp([2], 5)],
      ]),
    );
    const own = model.stateDict();
    loadStateDict(model, own, { strict: true });
    expect(valuesOf(model)).to.deep.equal({ a: [1, 2], b: [5, 6] });
    const exchanged = new StateDict([
      ["a", own.get("b") as Tensor],
      ["b", own.get("a") as Tensor],
    ]);
    loadStateDict(model, exchanged, { strict: true });
    expect(valuesOf(model)).to.deep.equal({ a: [5, 6], b: [1, 2] });
  });

  it("sources in memory that the load writes to are read before", () => {
    const memory = Float32Array.of(1, 2, 3, 4, 5, 6);
    const part = (begin: number, end: number): Tensor => Tensor.from(memory.subarray(begin, end), [end - begin]);
    const model = new Module();
    for (const [name, begin] of [
      ["a", 0],
      ["b", 2],
      ["c", 4],
    ] as const) {
      model.registerParameter(name, new Parameter(part(begin, begin + 2)));
    }
    model.registerParameter("m", Parameter.meta("float32", [2]));
    // Each reads what another one writes; `m` would look at bytes that are overwritten.
    const shifted = new StateDict([
      ["a", part(1, 3)],
      ["b", part(3, 5)],
      ["c", part(0, 2)],
      ["m", part(2, 4)],
    ]);
    loadStateDict(model, shifted, { strict: true });
    expect(valuesOf(model)).to.deep.equal({ a: [2, 3], b: [4, 5], c: [1, 2], m: [3, 4] });
  });

  it("a misaligned tensor is copied instead of adopted, so that its data can be shown", () => {
    const bytes = new ArrayBuffer(12);
    new Float32Array(bytes, 4).set([1, 2]);
    const shifted = new Uint8Array(13);
    shifted.set(new Uint8Array(bytes), 1);
    const tensor = Tensor.from(shifted.subarray(5), [2], { dtype: "float32" });
    const model = new Module();
    model.registerParameter("w", Parameter.meta("float32", [2]));
    expect(loadStateDict(model, new StateDict([["w", tensor]])).replica).to.include({ adopted: 0, copied: 1 });
    expect([...(model.stateDict().get("w") as Tensor).data]).to.deep.equal([1, 2]);
  });

  it("a checkpoint without bytes is adopted by unallocated parameters and refused by others", () => {
    const meta = Parameter.meta("float16", [2]).tensor;
    const model = withParameters({ w: [2] });
    model.registerParameter("m", Parameter.meta("float32", [2]));
    const report = loadStateDict(
      model,
      new StateDict([
        ["w", meta],
        ["m", meta],
      ]),
    );
    expect(report.mismatched).to.deep.equal([{ key: "w", checkpoint: [2], model: [2], reason: "bytes" }]);
    expect(model.ownParameters.get("m")?.tensor).to.include({ dtype: "float32", isMeta: true });
  });
});
