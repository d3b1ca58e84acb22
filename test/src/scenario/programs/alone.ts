/** A process without any launcher: the same code is a group of one. Arguments: weights. */
import { joinGroup } from "@rankcast/worker";
import { createReplica, tensorDigests } from "../replicas/fixture-model.js";

const [weights = ""] = process.argv.slice(2);
const group = await joinGroup();
const model = createReplica();
await group.barrier();
const report = await group.loadModelCheckpoint(model, weights, { strict: true });
const update = await group.broadcastStateDict(model.stateDict());
await group.close();
await group.close();
let afterClose = "";
try {
  await group.barrier();
} catch (error) {
  afterClose = (error as { code?: string }).code ?? "";
}
const { rank, worldSize, localWorldSize } = group;
process.stdout.write(
  JSON.stringify({ rank, worldSize, localWorldSize, report, loaded: tensorDigests(model), generation: update.generation, afterClose }),
);
