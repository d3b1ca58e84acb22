/**
 * A bfloat16 checkpoint into float32 replicas: cast once per node, and by each replica for itself (one of them wants float64, so there is no type
 * that all want). Prints JSON: `node bench/dist/cast-once.js [MiB stored]`. Best of three; the file is warm and was verified before.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StateDict, Storage, saveSafetensors, Tensor } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";

const TURNS = 3;
const MIB = 2 ** 20;
const storedBytes = Number(process.argv[2] ?? 256) * MIB;
const rows = storedBytes / 2048;
const directory = mkdtempSync(join(tmpdir(), "rankcast-bench-"));
const figures: Record<string, unknown>[] = [];
try {
  const storage = Storage.allocate(storedBytes);
  new Uint16Array(storage.buffer as ArrayBuffer).fill(0x3f80);
  const path = join(directory, "model.safetensors");
  await saveSafetensors(path, new StateDict([["weight", new Tensor({ dtype: "bfloat16", shape: [rows, 1024], storage })]]));
  await using group = await joinGroup();
  for (const [replicas, odd] of [
    [1, -1],
    [4, -1],
    [4, 3],
  ] as const) {
    const ms: number[] = [];
    let pssMib = 0;
    for (let turn = 0; turn < TURNS; turn += 1) {
      await using pool = await group.createPool({
        replica: new URL("./cast-replica.js", import.meta.url),
        replicas,
        options: { rows, odd },
      });
      const { timings, memory } = await pool.load(path, { immutable: true, prefault: true });
      ms.push(timings.totalMs);
      pssMib = (memory.pssBytes ?? Number.NaN) / MIB;
    }
    const best = Math.min(...ms);
    figures.push({ replicas, castBy: odd < 0 ? "node" : "replica", ms: best, storedGBps: storedBytes / best / 1e6, pssMib });
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
process.stdout.write(
  `${JSON.stringify({ bench: "cast-once", node: process.version, storedMib: storedBytes / MIB, figures }, undefined, 1)}\n`,
);
