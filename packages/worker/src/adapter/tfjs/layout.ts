/** Where torch and TensorFlow.js put the elements of one weight. Pure. */

/**
 * How a weight lies in TensorFlow.js, seen from torch. `same`: alike. `dense`: [in, out] for torch's [out, in]. `convolution`: [...kernel,
 * in, out] for [out, in, ...kernel], and [...kernel, out, in] for the [in, out, ...kernel] of a transposed one. `depthwise`: [...kernel, in,
 * multiplier] for [in * multiplier, 1, ...kernel]. `flattened`: the features of an image flattened channels last, for torch's channels
 * first; `image` is torch's [channels, ...sizes].
 */
export type TfjsLayout =
  | "same"
  | "dense"
  | "convolution"
  | "depthwise"
  | { readonly flattened: "dense" | "same"; readonly image: readonly number[] };

/** The dense memory of a TensorFlow.js weight as a strided view in torch's order. */
export interface WeightView {
  /** Sizes in torch. */
  readonly shape: readonly number[];
  /** Sizes of the view: `shape`, or with its feature axis taken apart where no stride can express the order. */
  readonly viewShape: readonly number[];
  /** In elements. */
  readonly viewStride: readonly number[];
  /** Whether the memory is torch's as it stands. */
  readonly isSame: boolean;
}

/** The view of a weight with these sizes in TensorFlow.js; undefined when the layout does not fit them. */
export function viewOf(layout: TfjsLayout, shape: readonly number[]): WeightView | undefined {
  if (layout === "same")
    return permuted(
      shape,
      shape.map((_, axis) => axis),
    );
  if (layout === "dense") return shape.length === 2 ? permuted(shape, [1, 0]) : undefined;
  if (layout === "convolution")
    return shape.length < 3 ? undefined : permuted(shape, [shape.length - 1, shape.length - 2, ...kernelAxes(shape)]);
  if (layout === "depthwise") return shape.length < 3 ? undefined : depthwise(shape);
  return flattened(layout, shape);
}

function kernelAxes(shape: readonly number[]): number[] {
  return shape.slice(0, -2).map((_, axis) => axis);
}

function stridesOf(shape: readonly number[]): number[] {
  const strides: number[] = [];
  let step = 1;
  for (const size of shape.toReversed()) {
    strides.unshift(step);
    step *= size;
  }
  return strides;
}

function permuted(shape: readonly number[], axes: readonly number[]): WeightView {
  const strides = stridesOf(shape);
  const sizes = axes.map((axis) => shape[axis] ?? 0);
  const isSame = axes.every((axis, at) => axis === at);
  return { shape: sizes, viewShape: sizes, viewStride: axes.map((axis) => strides[axis] ?? 0), isSame };
}

function depthwise(shape: readonly number[]): WeightView {
  const strides = stridesOf(shape);
  const [inputs = 0, multiplier = 0] = shape.slice(-2);
  const axes = kernelAxes(shape);
  const sizes = [inputs * multiplier, 1, ...axes.map((axis) => shape[axis] ?? 0)];
  return { shape: sizes, viewShape: sizes, viewStride: [1, 1, ...axes.map((axis) => strides[axis] ?? 0)], isSame: false };
}

function flattened({ flattened: kind, image }: Exclude<TfjsLayout, string>, shape: readonly number[]): WeightView | undefined {
  const [features = 0, outputs = 1] = shape;
  if (shape.length !== (kind === "dense" ? 2 : 1) || image.reduce((product, size) => product * size, 1) !== features) return undefined;
  const [channels = 0, ...sizes] = image;
  const [channelStep = 0, ...steps] = [1, ...stridesOf(sizes).map((step) => step * channels)].map((step) => step * outputs);
  if (kind === "same") return { shape: [features], viewShape: image, viewStride: [channelStep, ...steps], isSame: false };
  return { shape: [outputs, features], viewShape: [outputs, ...image], viewStride: [1, channelStep, ...steps], isSame: false };
}
