/**
 * How soon the end of a replica's thread is known and repaired, and what a call costs. Prints JSON: `node bench/dist/pool.js [checkpoint]`.
 * Milliseconds, median of several turns; for deadlines, the time above the deadline itself.
 */
import { fileURLToPath } from "node:url";
import { joinGroup } from "@rankcast/worker";

const TURNS = 5;
const DEADLINE_MS = 100;
const weights = process.argv[2] ?? fileURLToPath(new URL("../../examples/assets/ddp-convnet.pt", import.meta.url));
const replica = new URL("./pool-replica.js", import.meta.url);

await using group = await joinGroup();
const figures: Record<string, number> = {};
{
  await using pool = await group.createPool({ replica, replicas: 2, resourceLimits: { maxOldGenerationSizeMb: 64 } });
  await pool.load(weights, {});
  for (const name of ["exit", "throwUncaught", "outOfMemory", "loop"]) {
    const errors: number[] = [];
    const restarts: number[] = [];
    for (let turn = 0; turn < TURNS; turn += 1) {
      const startMs = performance.now();
      await pool.run(name, null, name === "loop" ? { timeoutMs: DEADLINE_MS } : {}).catch(() => undefined);
      errors.push(performance.now() - startMs - (name === "loop" ? DEADLINE_MS : 0));
      const crashedMs = performance.now();
      await pool.restart(0);
      restarts.push(performance.now() - crashedMs);
    }
    figures[`${name}: typed error`] = median(errors);
    figures[`${name}: restarted and reloaded`] = median(restarts);
  }
  const calls = 2000;
  const startMs = performance.now();
  for (let call = 0; call < calls; call += 1) await pool.run("echo", call);
  figures["one call"] = (performance.now() - startMs) / calls;
}
for (const replicas of [1, 8, 64]) {
  const startMs = performance.now();
  await using pool = await group.createPool({ replica, replicas });
  figures[`${replicas} replicas: started`] = performance.now() - startMs;
  const report = await pool.load(weights, {});
  figures[`${replicas} replicas: loaded`] = report.timings.totalMs;
}
process.stdout.write(`${JSON.stringify({ bench: "pool", node: process.version, figures }, undefined, 1)}\n`);

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
