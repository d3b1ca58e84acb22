/** Parameter trees of jax-js hold what torch saved and compute what torch computed. */
import { defaultDevice, init, lax, nn, numpy as np } from "@jax-js/jax";
import { loadCheckpoint, loadModelCheckpoint, loadStateDict, StateDict, Tensor } from "@rankcast/core";
import { JaxModule } from "@rankcast/worker/jax-js";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.js";
import { adapterFixture, expectedOf, expectTorch, type Numbers } from "./adapter-models.js";

type Layer = Record<string, np.Array>;
type Params = Record<string, Layer>;

const arrayOf = ({ data, shape }: Numbers): np.Array => np.array(Float32Array.from(data), { shape: [...shape] });

/** A tree of zeros with the layers and weights of a file. */
async function zerosLike(file: string): Promise<Params> {
  const { stateDict, close } = await loadCheckpoint(adapterFixture(file));
  const params: Params = {};
  for (const [key, { shape, dtype }] of stateDict) {
    const [, layer = "", name = ""] = key.split(".");
    if (dtype === "float32") params[layer] = { ...params[layer], [name]: np.zeros([...shape]) };
  }
  await close();
  return params;
}

function parameter(params: Params, layer: string, name: string): np.Array {
  const array = params[layer]?.[name];
  if (!array) throw new Error(`no ${layer}.${name}`);
  return array.ref;
}

const linear = (params: Params, layer: string, x: np.Array): np.Array =>
  np.dot(x, parameter(params, layer, "weight").transpose()).add(parameter(params, layer, "bias"));

/** A vector of channels beside images [n, c, h, w]. */
const channels = (params: Params, layer: string, name: string): np.Array => parameter(params, layer, name).reshape([1, -1, 1, 1]);

function batchNorm(params: Params, layer: string, x: np.Array): np.Array {
  const scale = channels(params, layer, "weight").div(np.sqrt(channels(params, layer, "running_var").add(1e-5)));
  return x
    .sub(channels(params, layer, "running_mean"))
    .mul(scale)
    .add(channels(params, layer, "bias"));
}

function conv(params: Params, layer: string, x: np.Array, pad: number, featureGroupCount = 1): np.Array {
  const padding: [number, number][] = [
    [pad, pad],
    [pad, pad],
  ];
  return lax.convGeneralDilated(x, parameter(params, layer, "weight"), [1, 1], padding, { featureGroupCount });
}

/** The 2 x 2 windows of images on axes of their own, 3 and 5. */
const windows = (x: np.Array): np.Array => {
  const [n = 0, c = 0, h = 0, w = 0] = x.shape;
  return x.reshape([n, c, h / 2, 2, w / 2, 2]);
};

function mlp(params: Params, x: np.Array): np.Array {
  const hidden = nn.standardize(np.tanh(linear(params, "fc1", x)), -1, { epsilon: 1e-5 });
  const normed = hidden.mul(parameter(params, "norm", "weight")).add(parameter(params, "norm", "bias"));
  return linear(params, "head", nn.relu(linear(params, "fc2", normed)));
}

function cnn(params: Params, images: np.Array): np.Array {
  let x = conv(params, "conv1", images, 1).add(channels(params, "conv1", "bias"));
  x = np.max(windows(nn.relu(batchNorm(params, "norm1", x))), [3, 5]);
  x = conv(params, "depth", x, 1, 6).add(channels(params, "depth", "bias"));
  x = nn.relu(batchNorm(params, "norm2", conv(params, "point", x, 0)));
  x = np.mean(windows(x), [3, 5]);
  x = nn.relu(linear(params, "fc", x.reshape([x.shape[0] ?? 0, -1])));
  return linear(params, "head", x);
}

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
