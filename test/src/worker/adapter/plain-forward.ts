/** The layers of test/torch/make_adapter_models.py in plain loops over typed arrays: what a program without a model library does. */
import type { TensorMap } from "@rankcast/worker/tensor-map";

/** Elements [batch, channels, height, width]; vectors have a height and width of 1. */
interface Batch {
  readonly shape: readonly [n: number, c: number, h: number, w: number];
  readonly data: Float64Array;
}

/** `mlp` on rows of 6. */
export function plainMlp(weights: TensorMap, rows: readonly number[]): ArrayLike<number> {
  let x: Batch = { shape: [rows.length / 6, 6, 1, 1], data: Float64Array.from(rows) };
  x = mapped(convolved(x, weights, "fc1"), Math.tanh);
  x = layerNormalised(x, weights, "norm");
  x = mapped(convolved(x, weights, "fc2"), relu);
  return convolved(x, weights, "head").data;
}

/** `cnn` on images [n, 2, 12, 8]. */
export function plainCnn(weights: TensorMap, images: readonly number[]): ArrayLike<number> {
  let x: Batch = { shape: [images.length / 192, 2, 12, 8], data: Float64Array.from(images) };
  x = mapped(batchNormalised(convolved(x, weights, "conv1", { pad: 1 }), weights, "norm1"), relu);
  x = pooled(x, (values) => Math.max(...values));
  x = convolved(convolved(x, weights, "depth", { pad: 1, groups: 6 }), weights, "point");
  x = mapped(batchNormalised(x, weights, "norm2"), relu);
  x = pooled(x, (values) => values.reduce((sum, value) => sum + value, 0) / values.length);
  x = { shape: [x.shape[0], x.data.length / x.shape[0], 1, 1], data: x.data };
  x = mapped(convolved(x, weights, "fc"), relu);
  return convolved(x, weights, "head").data;
}

const relu = (value: number): number => Math.max(value, 0);

function entry(weights: TensorMap, name: string): { readonly data: Float32Array; readonly shape: readonly number[] } | undefined {
  return weights.get(name) as { readonly data: Float32Array; readonly shape: readonly number[] } | undefined;
}

/** Reads an element; indices outside give 0. */
const of = (data: ArrayLike<number>, index: number): number => data[index] ?? 0;

function mapped({ shape, data }: Batch, change: (value: number) => number): Batch {
  return { shape, data: data.map(change) };
}

/** A convolution with stride 1; a linear layer is one with a kernel of 1. */
function convolved({ shape: [n, c, h, w], data }: Batch, weights: TensorMap, name: string, { pad = 0, groups = 1 } = {}): Batch {
  const weight = entry(weights, `${name}.weight`);
  const [outputs = 0, inputs = 0, kh = 1, kw = 1] = weight?.shape ?? [];
  const bias = entry(weights, `${name}.bias`)?.data ?? [];
  const [oh, ow] = [h + 2 * pad - kh + 1, w + 2 * pad - kw + 1];
  const result = new Float64Array(n * outputs * oh * ow);
  for (let at = 0; at < result.length; at += 1) {
    const [image, o, y, x] = [
      Math.floor(at / (outputs * oh * ow)),
      Math.floor(at / (oh * ow)) % outputs,
      Math.floor(at / ow) % oh,
      at % ow,
    ];
    const first = Math.floor(o / (outputs / groups)) * inputs;
    let sum = of(bias, o);
    for (let k = 0; k < inputs * kh * kw; k += 1) {
      const [i, row, column] = [Math.floor(k / (kh * kw)), y + (Math.floor(k / kw) % kh) - pad, x + (k % kw) - pad];
      if (row < 0 || row >= h || column < 0 || column >= w) continue;
      sum += of(data, ((image * c + first + i) * h + row) * w + column) * of(weight?.data ?? [], o * inputs * kh * kw + k);
    }
    result[at] = sum;
  }
  return { shape: [n, outputs, oh, ow], data: result };
}

function batchNormalised({ shape, data }: Batch, weights: TensorMap, name: string): Batch {
  const [, channels, h, w] = shape;
  const [scale, shift, mean, variance] = ["weight", "bias", "running_mean", "running_var"].map(
    (each) => entry(weights, `${name}.${each}`)?.data ?? [],
  ) as ArrayLike<number>[];
  const change = (value: number, at: number) => {
    const channel = Math.floor(at / (h * w)) % channels;
    const centred = (value - of(mean ?? [], channel)) / Math.sqrt(of(variance ?? [], channel) + 1e-5);
    return centred * of(scale ?? [], channel) + of(shift ?? [], channel);
  };
  return { shape, data: data.map(change) };
}

function layerNormalised({ shape, data }: Batch, weights: TensorMap, name: string): Batch {
  const [n, size] = shape;
  const [scale, shift] = [entry(weights, `${name}.weight`)?.data ?? [], entry(weights, `${name}.bias`)?.data ?? []];
  const result = new Float64Array(data.length);
  for (let row = 0; row < n; row += 1) {
    const values = data.subarray(row * size, (row + 1) * size);
    const mean = values.reduce((sum, value) => sum + value, 0) / size;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / size;
    for (const [at, value] of values.entries()) {
      result[row * size + at] = ((value - mean) / Math.sqrt(variance + 1e-5)) * of(scale, at) + of(shift, at);
    }
  }
  return { shape, data: result };
}

/** Windows of 2 x 2. */
function pooled({ shape: [n, c, h, w], data }: Batch, reduce: (values: number[]) => number): Batch {
  const [oh, ow] = [Math.floor(h / 2), Math.floor(w / 2)];
  const result = new Float64Array(n * c * oh * ow).map((_, at) => {
    const corner = (Math.floor(at / (oh * ow)) * h + 2 * (Math.floor(at / ow) % oh)) * w + 2 * (at % ow);
    return reduce([corner, corner + 1, corner + w, corner + w + 1].map((index) => of(data, index)));
  });
  return { shape: [n, c, oh, ow], data: result };
}
