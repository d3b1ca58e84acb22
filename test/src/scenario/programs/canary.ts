/** One rank of a job whose secret must not be seen: loads, then shows what a rank inherits. Arguments: weights. */
import { joinGroup } from "@rankcast/worker";
import { createReplica } from "../replicas/fixture-model.js";

const [weights = ""] = process.argv.slice(2);
const group = await joinGroup();
await group.loadModelCheckpoint(createReplica(), weights, { strict: true });
process.stdout.write(`${JSON.stringify({ env: process.env, argv: process.argv, execArgv: process.execArgv })}\n`);
await group.barrier("looked at");
// Errors of later collectives carry details of everything that could be wrong.
await group.barrier(group.rank === 0 ? "here" : "there", { timeoutMs: 500 }).catch((error: Error & { toJSON?: unknown }) => {
  process.stdout.write(`${error.stack} ${JSON.stringify(error, Object.getOwnPropertyNames(error))}\n`);
});
await group.close();
