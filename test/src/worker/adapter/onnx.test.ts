/**
 * Sessions of ONNX Runtime whose weights are inputs compute what torch computed. Runs with onnxruntime-web's WebAssembly; ORT=onnxruntime-node in the
 * environment takes that one (see scripts/test-onnx.mjs).
 */
import { readFileSync } from "node:fs";
import { loadCheckpoint, loadModelCheckpoint, loadStateDict, StateDict, Tensor } from "@rankcast/core";
import { OnnxModule } from "@rankcast/worker/onnx";
import { expect } from "chai";
import type { InferenceSession } from "onnxruntime-common";
import { expectError } from "../../support/expect-error.js";
import { adapterFixture, expectedOf, expectTorch } from "./adapter-models.js";

type Library = typeof import("onnxruntime-common");

describe("adapter: onnx", function () {
  this.timeout(60_000);
  let ort: Library;

  before(async () => {
    ort = (await import(process.env["ORT"] ?? "onnxruntime-web")) as Library;
    // Threads of WebAssembly outlive the test; the models are tiny.
    if (ort.env.wasm) ort.env.wasm.numThreads = 1;
  });

  const session = (name: string): Promise<InferenceSession> => ort.InferenceSession.create(readFileSync(adapterFixture(`${name}.onnx`)));
  const run = async (model: OnnxModule, name: string): Promise<ArrayLike<number>> => {
    const { inputs } = expectedOf(name);
    const { y } = await model.run({ x: new ort.Tensor("float32", Float32Array.from(inputs.data), inputs.shape) });
    return y?.data as Float32Array;
  };

  for (const name of ["mlp", "cnn"]) {
    it(`${name}: fed with what torch saved it computes what torch computed`, async () => {
      const model = new OnnxModule(await session(name), { inputs: ["x"] });
      const report = await loadModelCheckpoint(model, adapterFixture(`${name}.pt`), { strict: true });
      expect(report.ranks[0]?.replicas[0]?.missing).to.deep.equal([]);
      expectTorch(name, await run(model, name));
      // The second load must replace what was fed before; then the first again.
      const { stateDict, close } = await loadCheckpoint(adapterFixture(`${name}.pt`));
      const other = new StateDict([...model.stateDict()].map(([key, tensor]) => [key, doubled(tensor)]));
      loadStateDict(model, other, { strict: true });
      expect(Math.abs((await run(model, name))[0] ?? 0)).to.not.be.closeTo(Math.abs(expectedOf(name).outputs.data[0] ?? 0), 1e-3);
      loadStateDict(model, new StateDict([...stateDict].map(([key, tensor]) => [key.slice("module.".length), tensor])), { strict: true });
      expectTorch(name, await run(model, name));
      for (const [key, tensor] of model.stateDict())
        expect(tensor.data, key).to.deep.equal(stateDict.get(`module.${key}`)?.contiguous().data);
      await close();
    });
  }

  it("weights in shared buffers reach a runtime that refuses those", async () => {
    const model = new OnnxModule(await session("mlp"), { inputs: ["x"] });
    const { stateDict, close } = await loadCheckpoint(adapterFixture("mlp.pt"));
    const shared = [...stateDict].map(([key, tensor]) => {
      const values = new Float32Array(new SharedArrayBuffer(tensor.nbytes));
      values.set(tensor.toFloat32Array());
      return [key.slice("module.".length), Tensor.from(values, tensor.shape)] as const;
    });
    loadStateDict(model, new StateDict(shared), { strict: true });
    expectTorch("mlp", await run(model, "mlp"));
    await close();
  });

  it("names of the graph may differ from the checkpoint's", async () => {
    const model = new OnnxModule(await session("mlp"), { inputs: ["x"], names: new Map([["head.bias", "last.bias"]]) });
    expect(model.stateDict().has("last.bias")).to.equal(true);
    expect(Object.keys(model.feeds)).to.include("head.bias");
  });

  it("inputs that cannot be weights are refused", async () => {
    const mlp = await session("mlp");
    await expectError("RANKCAST_ADAPTER_LAYER", () => new OnnxModule(mlp, { inputs: [] }));
    await expectError("RANKCAST_ADAPTER_LAYER", () => new OnnxModule(mlp, { inputs: ["x", "y"] }));
  });
});

function doubled(tensor: Tensor): Tensor {
  if (tensor.dtype !== "float32") return tensor;
  return Tensor.from(
    tensor.toFloat32Array().map((value) => value * 2 + 0.1),
    tensor.shape,
  );
}
