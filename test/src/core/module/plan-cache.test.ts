/** Planning once for many loads (semantics F20). */
import { loadStateDict, Parameter, StateDict, Tensor } from "@rankcast/core";
import { planStateDict } from "@rankcast/core/internal";
import { expect } from "chai";
import { batchNorm, checkpoint, linear, nest, ramp, typed, valuesOf, withParameters } from "./models.ts";

describe("planning again", () => {
  it("F20: planning again is skipped while keys, shapes and model are the same, and only then", () => {
    const model = nest({ a: linear(2, 2), b: linear(2, 2) });
    const shapes = { "a.weight": [2, 2], "a.bias": [2], "b.weight": [2, 2], "b.bias": [2] };
    loadStateDict(model, checkpoint(shapes));
    const again = planStateDict(model, checkpoint(shapes));
    expect(again.reused).to.equal(true);
    expect(again.report.matched).to.equal(4);
    expect(planStateDict(model, checkpoint(shapes), { strict: true }).reused).to.equal(false);
    const other = checkpoint({ ...shapes, "b.bias": [3] });
    expect(planStateDict(model, other).reused).to.equal(false);
    expect(planStateDict(model, other).report.mismatched).to.have.length(1);
    planStateDict(model, checkpoint(shapes));
    model.registerModule("c", linear(1, 1));
    expect(planStateDict(model, checkpoint(shapes)).report.missing).to.deep.equal(["c.weight", "c.bias"]);
  });

  it("F20: a plan is not used again when the model's tensors or the checkpoint's layout changed", () => {
    const model = withParameters({ w: [2, 2] });
    const given = (): StateDict => checkpoint({ w: [2, 2] });
    loadStateDict(model, given());
    const flipped = new Tensor({ dtype: "float32", shape: [2, 2], stride: [1, 2], storage: ramp([4]).storage });
    expect(planStateDict(model, new StateDict([["w", flipped]])).reused).to.equal(false);
    planStateDict(model, given());
    model.ownParameters.get("w")?.replace(typed("float64", new Float64Array(4), [2, 2]));
    const wide = planStateDict(model, given());
    expect(wide.reused).to.equal(false);
    expect(wide.report.casts).to.have.length(1);
    model.ownParameters.get("w")?.replace(Parameter.meta("float64", [2, 2]).tensor);
    expect(planStateDict(model, given()).reused).to.equal(false);
    const versioned = given();
    versioned.extraState.set("x._extra_state", 1);
    expect(planStateDict(model, versioned).report.unexpected).to.deep.equal(["x._extra_state"]);
  });

  it("F20: a plan is not used again when a version that a migration looks at changed", () => {
    const model = nest({ bn: batchNorm(1) });
    const shapes = { "bn.weight": [1], "bn.bias": [1], "bn.running_mean": [1], "bn.running_var": [1] };
    loadStateDict(model, checkpoint(shapes), { defaultIgnores: false });
    expect(planStateDict(model, checkpoint(shapes), { defaultIgnores: false }).reused).to.equal(true);
    const newer = checkpoint(shapes);
    newer.metadata.set("bn", { version: 2 });
    expect(planStateDict(model, newer, { defaultIgnores: false }).report.missing).to.deep.equal(["bn.num_batches_tracked"]);
  });

  it("F20: a plan used again loads the new values", () => {
    for (const assign of ["auto", "always", "never"] as const) {
      const model = nest({ a: linear(1, 1) });
      for (const from of [1, 10, 100]) {
        const given = new StateDict([
          ["a.weight", ramp([1, 1], from)],
          ["a.bias", ramp([1], from + 1)],
        ]);
        loadStateDict(model, given, { assign });
        expect(valuesOf(model), assign).to.deep.equal({ "a.weight": [from], "a.bias": [from + 1] });
      }
    }
  });
});
