/**
 * One rank that follows weights at an origin and loads each of them. After each load rank 0 tells the given address how many there were, and the next
 * appears. Prints the steps it saw, with what every replica held and the generation. Arguments: weights, address to tell, loads.
 */
import { joinGroup } from "@rankcast/worker";

const [weights = "", tell = "", loads = "1"] = process.argv.slice(2);
await using group = await joinGroup();
const pool = await group.createPool({ replica: new URL("../replicas/fixture-model.js", import.meta.url), replicas: 2 });
const stop = new AbortController();
const seen: unknown[] = [];
for await (const found of group.watch(weights, { pollMs: 20, signal: stop.signal })) {
  await pool.load(found.weights);
  seen.push([found, await pool.runAll("valuesOf", "fc.bias"), group.generation]);
  if (group.rank !== 0) continue;
  await fetch(`${tell}?loads=${seen.length}`);
  if (seen.length === Number(loads)) stop.abort("seen enough");
}
process.stdout.write(JSON.stringify({ rank: group.rank, seen }));
