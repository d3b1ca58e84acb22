/** One rank: loads into a model of its own, takes two weight updates, prints what it holds. Arguments: weights. */
import { digestStateDict, StateDict, Tensor } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";
import { createReplica, tensorDigests, valuesOf } from "../replicas/fixture-model.js";

const [weights = ""] = process.argv.slice(2);
await using group = await joinGroup();
const model = createReplica();
await group.barrier("ready");
const report = await group.loadModelCheckpoint(model, weights, { strict: true, digest: true });
const loaded = tensorDigests(model);
const generations = [group.generation];
const biases = [valuesOf(model, "fc.bias")];
for (const src of [0, group.worldSize - 1]) {
  const update = await group.broadcastStateDict(src === group.rank ? scaled(src + 2) : null, { src });
  generations.push(group.generation, update.generation);
  biases.push(valuesOf(model, "fc.bias"));
}
const { rank, localRank, nodeRank, worldSize, localWorldSize } = group;
const identity = { rank, localRank, nodeRank, worldSize, localWorldSize };
process.stdout.write(
  JSON.stringify({ identity, report, loaded, generations, biases, digest: digestStateDict(model.stateDict()), pid: process.pid }),
);

/** This rank's weights times `factor`, integers left alone. */
function scaled(factor: number): StateDict {
  const next = new StateDict();
  for (const [name, tensor] of model.stateDict()) {
    const floating = tensor.dtype === "float32";
    next.set(
      name,
      floating
        ? Tensor.from(
            tensor.toFloat32Array().map((value) => value * factor),
            tensor.shape,
          )
        : tensor,
    );
  }
  return next;
}
