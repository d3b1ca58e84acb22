/** The models of test/torch/make_adapter_models.py in TensorFlow.js. */
import "@tensorflow/tfjs-backend-cpu";
import * as tf from "@tensorflow/tfjs-core";
import { layers, type Sequential, sequential } from "@tensorflow/tfjs-layers";

// No hints about other backends in the output of tests.
tf.enableProdMode();

/** Torch's epsilon: keras has another one. */
const epsilon = 1e-5;

/** `mlp`, its layers named as torch's modules. */
export function tfjsMlp(): Sequential {
  return sequential({
    layers: [
      layers.dense({ name: "fc1", units: 16, inputShape: [6], activation: "tanh" }),
      layers.layerNormalization({ name: "norm", epsilon }),
      layers.dense({ name: "fc2", units: 16, activation: "relu" }),
      layers.dense({ name: "head", units: 3 }),
    ],
  });
}

/** `cnn`, channels last as TensorFlow.js wants it. */
export function tfjsCnn(): Sequential {
  return sequential({
    layers: [
      layers.conv2d({ name: "conv1", filters: 6, kernelSize: 3, padding: "same", inputShape: [12, 8, 2] }),
      layers.batchNormalization({ name: "norm1", epsilon }),
      layers.reLU(),
      layers.maxPooling2d({ poolSize: [2, 2] }),
      layers.depthwiseConv2d({ name: "depth", kernelSize: 3, depthMultiplier: 2, padding: "same" }),
      layers.conv2d({ name: "point", filters: 5, kernelSize: 1, useBias: false }),
      layers.batchNormalization({ name: "norm2", epsilon }),
      layers.reLU(),
      layers.averagePooling2d({ poolSize: [2, 2] }),
      layers.flatten(),
      layers.dropout({ rate: 0.5 }),
      layers.dense({ name: "fc", units: 7, activation: "relu" }),
      layers.dense({ name: "head", units: 4 }),
    ],
  });
}
