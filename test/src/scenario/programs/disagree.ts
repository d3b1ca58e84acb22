/** One rank of a job in which one rank misbehaves as told; prints how its collective ended. Arguments: fault, weights, other weights. */
import { CheckpointError } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";
import { createReplica } from "../replicas/fixture-model.js";

const [fault = "", weights = "", otherWeights = ""] = process.argv.slice(2);
const FAULTY_RANK = 1;
const group = await joinGroup();
const faulty = group.rank === FAULTY_RANK;
const model = createReplica();
await group.barrier("ready");
// What a user's script does when it hits a bug: the process ends without a word to the others.
if (faulty && fault === "exit") process.exit(9);
if (faulty && fault === "kill") process.kill(process.pid, "SIGKILL");
if (faulty && fault === "abort") group.abort(new RangeError("batch size does not fit"));
try {
  await group.loadModelCheckpoint(model, faulty && fault === "weights" ? otherWeights : weights, { strict: true });
  process.stdout.write(JSON.stringify({ ended: "loaded" }));
} catch (error) {
  if (!(error instanceof CheckpointError)) throw error;
  const { code, message, details } = error;
  const untouched = [...model.stateDict()].filter(([name]) => name.startsWith("fc.")).every(([, tensor]) => tensor.isMeta);
  process.stdout.write(JSON.stringify({ ended: "failed", class: error.class, code, message, rootCause: details["rootCause"], untouched }));
}
await group.close();
