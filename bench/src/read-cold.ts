/** Reads the metadata of one checkpoint once and prints how long it took: a process of its own, so that nothing is compiled yet. */
import { readFile } from "node:fs/promises";
import { DEFAULT_LIMITS as limits } from "@rankcast/core";
import { buildManifest, openLocal, readCheckpoint } from "@rankcast/core/internal";

/** Time on a core of this thread; null where the system does not tell. */
async function mainThreadMs(): Promise<number | null> {
  const text = await readFile(`/proc/self/task/${process.pid}/schedstat`, "latin1").catch(() => null);
  return text === null ? null : Number(text.split(" ")[0]) / 1e6;
}

const cpuBegin = await mainThreadMs();
const begin = performance.now();
const resolved = await openLocal(process.argv[2] ?? "");
const tree = await readCheckpoint(resolved, { limits });
const manifest = buildManifest(tree, { limits, stateDict: true });
await resolved.close();
const wallMs = performance.now() - begin;
const cpuEnd = await mainThreadMs();
const cpuMs = cpuBegin === null || cpuEnd === null ? null : cpuEnd - cpuBegin;
process.stdout.write(JSON.stringify({ tensors: manifest.tensors.length, wallMs, cpuMs }));
