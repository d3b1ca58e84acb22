/** A policy of 4 MiB in TensorFlow.js, for the replicas and the learner of `update-tfjs`. */
import { TfjsModule } from "@rankcast/worker/tfjs";
import * as tf from "@tensorflow/tfjs-core";
import { layers, sequential } from "@tensorflow/tfjs-layers";

const [INPUTS, HIDDEN] = [512, 1024];

/** Two dense layers: a million weights. */
export async function createReplica(): Promise<TfjsModule> {
  // Else it recommends its native backend, once per thread.
  tf.env().set("IS_TEST", true);
  await import("@tensorflow/tfjs-backend-cpu");
  await tf.setBackend("cpu");
  const model = sequential({
    layers: [
      layers.dense({ name: "0", inputShape: [INPUTS], units: HIDDEN, kernelInitializer: "zeros" }),
      layers.dense({ name: "1", units: INPUTS, kernelInitializer: "zeros" }),
    ],
  });
  return new TfjsModule(model);
}

/** What the model answers to ones: the sum of a kernel's columns shows which weights it has. */
export function answer({ model }: TfjsModule): number {
  return tf.tidy(() => {
    const outputs = (model as unknown as { predict(inputs: tf.Tensor): tf.Tensor }).predict(tf.ones([1, INPUTS]));
    return outputs.dataSync()[0] ?? Number.NaN;
  });
}
