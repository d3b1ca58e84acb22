/** The models of test/torch/make_adapter_models.py in jax-js, written with torch's shapes. */
import { lax, nn, numpy as np } from "@jax-js/jax";
import { loadCheckpoint } from "@rankcast/core";
import { adapterFixture, type Numbers } from "./adapter-models.js";

type Layer = Record<string, np.Array>;
/** Layers by name, weights by name. */
export type Params = Record<string, Layer>;

/** An array of recorded numbers. */
export const arrayOf = ({ data, shape }: Numbers): np.Array => np.array(Float32Array.from(data), { shape: [...shape] });

/** A tree of zeros with the layers and weights of a file. */
export async function zerosLike(file: string): Promise<Params> {
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

/** `mlp` on rows. */
export function mlp(params: Params, x: np.Array): np.Array {
  const hidden = nn.standardize(np.tanh(linear(params, "fc1", x)), -1, { epsilon: 1e-5 });
  const normed = hidden.mul(parameter(params, "norm", "weight")).add(parameter(params, "norm", "bias"));
  return linear(params, "head", nn.relu(linear(params, "fc2", normed)));
}

/** `cnn` on images. */
export function cnn(params: Params, images: np.Array): np.Array {
  let x = conv(params, "conv1", images, 1).add(channels(params, "conv1", "bias"));
  x = np.max(windows(nn.relu(batchNorm(params, "norm1", x))), [3, 5]);
  x = conv(params, "depth", x, 1, 6).add(channels(params, "depth", "bias"));
  x = nn.relu(batchNorm(params, "norm2", conv(params, "point", x, 0)));
  x = np.mean(windows(x), [3, 5]);
  x = nn.relu(linear(params, "fc", x.reshape([x.shape[0] ?? 0, -1])));
  return linear(params, "head", x);
}
