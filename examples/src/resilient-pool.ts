/**
 * A pool that survives its replicas: one runs into an endless loop, is ended at its deadline, comes back with the current weights by itself, and
 * the calls that waited for it go on. Runs alone or under any launcher: `node examples/dist/resilient-pool.js`.
 */
import { fileURLToPath } from "node:url";
import { CheckpointError } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";

await using group = await joinGroup();
const pool = await group.createPool({
  replica: new URL("./convnet-replica.js", import.meta.url),
  replicas: 2,
  restart: "automatic",
  onReplicaEvent: (event) => process.stderr.write(`replica ${event.replica}: ${event.type}\n`),
});
await pool.load(fileURLToPath(new URL("../assets/ddp-convnet.pt", import.meta.url)), { strict: true });

const lost = pool.run("spin", null, { replica: 1, timeoutMs: 200 });
const waiting = pool.run("meanWeight", "head", { replica: 1 });
try {
  await lost;
} catch (error) {
  if (!(error instanceof CheckpointError)) throw error;
  process.stdout.write(`lost: ${error.code}\n`);
}
const [here, there] = [await pool.run("meanWeight", "head", { replica: 0 }), await waiting];
process.stdout.write(`replica 1 is back with the same weights: ${here === there}, generation ${group.generation}\n`);
