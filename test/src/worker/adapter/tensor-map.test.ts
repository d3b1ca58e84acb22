/** Plain typed arrays hold what torch saved; a program that computes with them gets torch's outputs. */
import { loadCheckpoint, loadModelCheckpoint, loadStateDict, StateDict, Tensor } from "@rankcast/core";
import { fromTensorMap, TensorMapModule, toTensorMap } from "@rankcast/worker/tensor-map";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.js";
import { adapterFixture, expectedOf, expectTorch } from "./adapter-models.js";
import { plainCnn, plainMlp } from "./plain-forward.js";

/** A module that declares what the checkpoint holds; no arrays of its own. */
async function declaredLike(name: string): Promise<TensorMapModule> {
  const checkpoint = await loadCheckpoint(adapterFixture(name));
  const module = new TensorMapModule(
    [...checkpoint.stateDict].map(([key, { dtype, shape }]) => [key.replace(/^module\./, ""), { dtype, shape }] as const),
  );
  await checkpoint.close();
  return module;
}

describe("adapter: tensor-map", () => {
  for (const [name, forward] of [
    ["mlp", plainMlp],
    ["cnn", plainCnn],
  ] as const) {
    it(`${name}: loaded into plain arrays it computes what torch computed`, async () => {
      const model = await declaredLike(`${name}.pt`);
      const report = await loadModelCheckpoint(model, adapterFixture(`${name}.pt`), { strict: true });
      expect(report.ranks[0]?.replicas[0]).to.include({ copied: 0, adopted: model.weights.size });
      expectTorch(name, forward(model.weights, expectedOf(name).inputs.data));
      expectTorch(name, forward(toTensorMap(fromTensorMap(model.weights)), expectedOf(name).inputs.data));
    });
  }

  it("writes into arrays that the program has brought, and looks at the loaded memory otherwise", () => {
    const own = new Float32Array(2);
    const model = new TensorMapModule([
      ["a.own", { data: own, shape: [2] }],
      ["a.declared", { shape: [2], dtype: "float32" }],
    ]);
    const given = new Float32Array([3, 4]);
    loadStateDict(model, fromTensorMap(new Map(["a.own", "a.declared"].map((key) => [key, { data: given, shape: [2] }]))), {
      strict: true,
    });
    expect([...own]).to.deep.equal([3, 4]);
    expect(model.weights.get("a.own")?.data.buffer).to.equal(own.buffer);
    expect(model.weights.get("a.declared")?.data.buffer).to.equal(given.buffer);
    expect(model.weights.get("a.declared")?.data).to.equal(model.weights.get("a.declared")?.data);
  });

  it("half precision and permuted tensors keep their values", () => {
    const tensor = new Tensor({
      ...Tensor.from(new Uint16Array([1, 2, 3, 4, 5, 6]), [2, 3], { dtype: "bfloat16" }),
      shape: [3, 2],
      stride: [1, 3],
    });
    const map = toTensorMap(new StateDict([["w", tensor]]));
    expect(map.get("w")).to.deep.include({ shape: [3, 2], dtype: "bfloat16", data: new Uint16Array([1, 4, 2, 5, 3, 6]) });
  });

  it("an array that is too short for its shape is refused", async () => {
    await expectError("RANKCAST_TENSOR_BOUNDS", () => new TensorMapModule([["w", { data: new Float32Array(3), shape: [2, 2] }]]));
  });
});
