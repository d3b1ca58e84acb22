/**
 * One rank with two replicas that look at one writable copy of the weights. Replica 0 writes; prints what each holds before and after, and what a pool
 * without sharing holds. Arguments: weights.
 */
import { joinGroup } from "@rankcast/worker";

const [weights = ""] = process.argv.slice(2);
const replica = new URL("../replicas/fixture-model.js", import.meta.url);
await using group = await joinGroup();
const seen: unknown[] = [];
for (const mapLocation of ["shared", { "cuda:*": "meta", "*": "shared" }, "cpu"] as const) {
  const pool = await group.createPool({ replica, replicas: 2 });
  await pool.load(weights, { strict: true, mapLocation });
  const before = await pool.runAll("valuesOf", "fc.bias");
  await group.barrier("before");
  // Ranks write different things: a copy is one process's, not the node's.
  await pool.run("scale", { name: "fc.bias", factor: group.rank + 2 }, { replica: 0 });
  await group.barrier("written");
  seen.push({ before, after: await pool.runAll("valuesOf", "fc.bias") });
  await pool.close();
}
process.stdout.write(JSON.stringify({ rank: group.rank, seen }));
