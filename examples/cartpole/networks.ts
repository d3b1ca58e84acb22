/** The networks of make_policy.py in TensorFlow.js; layers carry the names of torch's modules. */
import "@tensorflow/tfjs-backend-cpu";
import * as tf from "@tensorflow/tfjs-core";
import { layers, type Sequential, sequential } from "@tensorflow/tfjs-layers";

/** Chooses the backend of this thread; without its hint that native ones are faster. */
export async function startTensorflow(): Promise<void> {
  tf.enableProdMode();
  await tf.setBackend("cpu");
}

/** `policy` says how good each of 2 actions is, `value` how long the episode will go on. */
export function createNetwork(name: "policy" | "value"): Sequential {
  return sequential({
    name,
    layers: [
      layers.dense({ name: "fc1", units: 64, activation: "tanh", inputShape: [4] }),
      layers.dense({ name: "fc2", units: 64, activation: "tanh" }),
      layers.dense({ name: "head", units: name === "policy" ? 2 : 1 }),
    ],
  });
}
