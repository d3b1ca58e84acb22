/** Parameter trees of jax-js hold what torch saved and compute what torch computed. */
import { defaultDevice, init, numpy as np } from "@jax-js/jax";
import { loadCheckpoint, loadModelCheckpoint, loadStateDict, StateDict, Tensor } from "@rankcast/core";
import { JaxModule } from "@rankcast/worker/jax-js";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.js";
import { adapterFixture, expectedOf, expectTorch } from "./adapter-models.js";
import { arrayOf, cnn, mlp, zerosLike } from "./jax-models.js";

describe("adapter: jax-js", function () {
  this.timeout(60_000);

  before(async () => {
    await init("wasm");
    defaultDevice("wasm");
  });

  for (const [name, forward] of [
    ["mlp", mlp],
    ["cnn", cnn],
  ] as const) {
    it(`${name}: loaded with what torch saved it computes what torch computed`, async () => {
      const model = new JaxModule(await zerosLike(`${name}.pt`));
      await loadModelCheckpoint(model, adapterFixture(`${name}.pt`), { strict: true });
      expectTorch(name, await forward(model.params, arrayOf(expectedOf(name).inputs)).data());
      const { stateDict, close } = await loadCheckpoint(adapterFixture(`${name}.pt`));
      for (const source of [model.stateDict(), new JaxModule(model.params).stateDict()]) {
        expect(source.size).to.equal(stateDict.size);
        for (const [key, tensor] of source) {
          if (!key.endsWith("num_batches_tracked"))
            expect(tensor.contiguous().data, key).to.deep.equal(stateDict.get(`module.${key}`)?.contiguous().data);
        }
      }
      await close();
    });
  }

  it("takes an optimiser's new tree, reads it, and loads over it", () => {
    const weight = (value: number) => ({ fc: { weight: np.full([2, 3], value) } });
    const model = new JaxModule<{ fc: { weight: np.Array } }>(weight(1));
    expect(model.stateDict().get("fc.weight")?.get(1, 2)).to.equal(1);
    model.params = { fc: { weight: model.params.fc.weight.ref.mul(3) } };
    expect(model.stateDict().get("fc.weight")?.get(1, 2)).to.equal(3);
    const before = model.params.fc.weight;
    loadStateDict(model, new StateDict([["fc.weight", Tensor.from(new Float32Array(6).fill(5), [2, 3])]]), { strict: true });
    expect(model.params.fc.weight.ref.js()).to.deep.equal([
      [5, 5, 5],
      [5, 5, 5],
    ]);
    expect(() => before.ref.js(), "the array before is disposed").to.throw();
  });

  it("refuses trees that are not like the first one, and leaves that are no arrays", async () => {
    const model = new JaxModule({ fc: { weight: np.zeros([2, 3]) } });
    await expectError("RANKCAST_ADAPTER_LAYER", () => {
      model.params = { fc: { weight: np.zeros([3, 2]) } };
    });
    await expectError("RANKCAST_ADAPTER_LAYER", () => new JaxModule({ fc: 3 } as never));
  });
});
