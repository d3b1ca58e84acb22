/** torch's names and the layouts of the weights of each class of layer. A table: what is not in it is refused, never guessed. */

/** A weight of one class of layer. */
export interface LayerWeight {
  /** Its last name component in TensorFlow.js. */
  readonly from: string;
  /** Its name in torch. */
  readonly to: string;
  readonly layout: "same" | "dense" | "convolution" | "depthwise";
}

const weight = (from: string, to: string, layout: LayerWeight["layout"] = "same"): LayerWeight => ({ from, to, layout });

const CONVOLUTION = [weight("kernel", "weight", "convolution"), weight("bias", "bias")];
const NORMALISATION = [weight("gamma", "weight"), weight("beta", "bias")];

/** By class name of the layer (keras names in tfjs-layers 4.22 `layers/*.ts`; torch's in `nn/modules`). */
export const LAYER_WEIGHTS: ReadonlyMap<string, readonly LayerWeight[]> = new Map([
  ["Dense", [weight("kernel", "weight", "dense"), weight("bias", "bias")]],
  ["Conv1D", CONVOLUTION],
  ["Conv2D", CONVOLUTION],
  ["Conv3D", CONVOLUTION],
  ["Conv2DTranspose", CONVOLUTION],
  ["Conv3DTranspose", CONVOLUTION],
  ["DepthwiseConv2D", [weight("depthwise_kernel", "weight", "depthwise"), weight("bias", "bias")]],
  ["BatchNormalization", [...NORMALISATION, weight("moving_mean", "running_mean"), weight("moving_variance", "running_var")]],
  ["LayerNormalization", NORMALISATION],
  ["Embedding", [weight("embeddings", "weight")]],
  ["PReLU", [weight("alpha", "weight")]],
]);
