/**
 * One rank that resumes from a folder, trains on, and saves after each step: three of them, or until a rank that is told so dies in the middle of a save from the third on. A thread
 * watches the folder and kills the process as soon as something unfinished is in it. Prints where it resumed and what its replicas held then. Arguments: folder, one|ranks, rank that dies (or `all`, or `none`).
 */
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { StateDict, Tensor } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";
import { ELEMENTS } from "../replicas/wide-model.js";

/** A rank that was told to die is dead long before. */
const STEPS_MAX = 1000;

if (isMainThread) await main(process.argv.slice(2) as [string, "one" | "ranks", string]);
else dieWhenUnfinished(workerData as string);

async function main([folder, shards, victim]: [string, "one" | "ranks", string]): Promise<void> {
  await using group = await joinGroup();
  const pool = await group.createPool({ replica: new URL("../replicas/wide-model.js", import.meta.url), replicas: 1 });
  const resumed = await group.resume(folder);
  if (resumed) await pool.load(resumed.weights, { strict: true });
  const held = await pool.run("distinctValues");
  const first = (resumed?.step ?? 0) + 1;
  const dies = victim === "all" || group.rank === Number(victim);
  const last = victim === "none" ? first + 2 : STEPS_MAX;
  for (let step = first; step <= last; step += 1) {
    const values = (): Tensor => Tensor.from(new Float32Array(ELEMENTS).fill(step), [ELEMENTS]);
    const weights = new StateDict([
      ["left", values()],
      ["right", values()],
    ]);
    await pool.update(group.rank === 0 ? weights : null);
    if (step === first + 2 && dies) {
      const watcher = new Worker(fileURLToPath(import.meta.url), { workerData: folder });
      await new Promise((resolve) => watcher.once("message", resolve));
    }
    await group.barrier("ready");
    await group.save(folder, { step, shards, keep: 5 });
  }
  process.stdout.write(JSON.stringify({ resumed, held }));
}

function dieWhenUnfinished(folder: string): void {
  void import("node:worker_threads").then(({ parentPort }) => {
    parentPort?.postMessage("watching");
    for (;;) {
      if (readdirSync(folder, { recursive: true }).some((name) => String(name).startsWith("."))) process.kill(process.pid, "SIGKILL");
    }
  });
}
