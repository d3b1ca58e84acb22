/**
 * One rank of `update-tfjs`: a pool of TensorFlow.js replicas, updated from rank 0's memory. Every rank sends the milliseconds of each update, and what its replicas
 * answer at the end, to its parent. Arguments: `torch` or `tfjs` (whose order of elements the learner's weights have), replicas, updates.
 */
import { StateDict, Tensor } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";
import * as tf from "@tensorflow/tfjs-core";
import { createReplica } from "./tfjs-replica.js";

const [order = "torch", replicas = "1", updates = "1"] = process.argv.slice(2);
await using group = await joinGroup();
const pool = await group.createPool({ replica: new URL("./tfjs-replica.js", import.meta.url), replicas: Number(replicas) });
const learner = await createReplica();
const own = new StateDict(
  [...learner.stateDict()].map(([name, { shape, elementCount }]) => [name, Tensor.from(new Float32Array(elementCount), shape)] as const),
);
const times: number[] = [];
for (let turn = 1; turn <= Number(updates); turn += 1) {
  const stateDict = group.rank === 0 ? (order === "torch" ? fromTorch(turn) : fromTfjs(turn)) : null;
  await group.barrier("step");
  const begin = performance.now();
  await pool.update(stateDict);
  times.push(performance.now() - begin);
}
process.send?.({ rank: group.rank, times, answers: await pool.runAll("answer") });
process.disconnect();

/** Row-major in torch's order: what an optimiser outside of TensorFlow.js holds. */
function fromTorch(turn: number): StateDict {
  for (const [name, tensor] of own) (tensor.data as Float32Array).fill(name.endsWith("weight") ? turn / 1e6 : 0);
  return own;
}

/** A model of the same library, as a learner has it after a step. */
function fromTfjs(turn: number): StateDict {
  for (const weight of learner.model.layers.flatMap(({ weights }) => [...weights])) {
    const values = tf.fill(weight.shape as number[], weight.shape.length > 1 ? turn / 1e6 : 0);
    (weight as unknown as { write(values: tf.Tensor): void }).write(values);
    values.dispose();
  }
  return learner.stateDict();
}
