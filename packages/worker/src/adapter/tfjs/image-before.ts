/** Which features of a layer come from an image that was flattened: torch orders them channels first, TensorFlow.js channels last. */
import type { TfjsLayer } from "./layers-model.ts";

/** Layers that leave the axes of their input where they are. */
const KEEPS_AXES = new Set([
  "Activation",
  "AlphaDropout",
  "BatchNormalization",
  "Dropout",
  "ELU",
  "GaussianDropout",
  "GaussianNoise",
  "LayerNormalization",
  "LeakyReLU",
  "PReLU",
  "ReLU",
  "Softmax",
  "SpatialDropout1D",
  "ThresholdedReLU",
]);

/** Layers whose output has its channels last, unless they say otherwise (`dataFormat`). */
const MAKES_IMAGE = /^((Depthwise|Separable)?Conv[123]D(Transpose)?|(Average|Max)Pooling[123]D|UpSampling2D|ZeroPadding2D|Cropping2D)$/;

/**
 * Sizes of the flattened image in torch's order, [channels, ...sizes], when features of a flattened channels-last image arrive at the layer;
 * null when there is none, when a `Permute` has put it in torch's order before, or when its order is the program's own.
 */
export function imageBefore(layer: TfjsLayer): readonly number[] | null {
  const flatten = traceBack(layer);
  if (flatten?.getClassName() !== "Flatten") return null;
  const before = traceBack(flatten);
  if (before === null || !MAKES_IMAGE.test(before.getClassName()) || isChannelsFirst(before)) return null;
  const shape = flatten.inboundNodes[0]?.inputShapes[0];
  const sizes: readonly unknown[] = Array.isArray(shape) ? shape.slice(1) : [];
  if (sizes.length < 2 || !sizes.every((size): size is number => typeof size === "number")) return null;
  return [...sizes.slice(-1), ...sizes.slice(0, -1)];
}

/** The nearest layer before this one that changes axes; null at a junction or at the model's input. */
function traceBack(layer: TfjsLayer): TfjsLayer | null {
  let current: TfjsLayer | undefined = layer;
  do {
    const sources: readonly TfjsLayer[] = current.inboundNodes[0]?.inboundLayers ?? [];
    current = sources.length === 1 ? sources[0] : undefined;
  } while (current && KEEPS_AXES.has(current.getClassName()));
  return current ?? null;
}

function isChannelsFirst(layer: TfjsLayer): boolean {
  return (layer as { readonly dataFormat?: unknown }).dataFormat === "channelsFirst";
}
