/** One rank of either node: the checkpoint is read on one node and cast to the other; then the last rank's weights go to all. */
import { fileURLToPath } from "node:url";
import { StateDict, Tensor } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";

const weights = fileURLToPath(new URL("../../assets/ddp-convnet.pt", import.meta.url));

await using group = await joinGroup();
const { model } = await group.loadCheckpoint(weights);
const src = group.worldSize - 1;
const improved = new StateDict([["head.bias", Tensor.from(new Float32Array(64).fill(src), [64])]]);
await group.broadcastStateDict(group.rank === src ? improved : null, { src });
const bias = model.stateDict().get("head.bias");
console.log(`rank ${group.rank} of ${group.worldSize} on node ${group.nodeRank}: generation ${group.generation}, bias ${bias?.get(0)}`);
