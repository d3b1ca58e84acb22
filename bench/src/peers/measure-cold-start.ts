/** How long `rankcast load` takes from nothing: a process that starts, loads a small model into one rank and prints its report. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { ColdStart } from "./peers-results.js";

const RANKCAST = fileURLToPath(new URL("../../../packages/cli/bin/rankcast.js", import.meta.url));

/** Best of `runs`. @throws {Error} what the command said when it failed. */
export async function measureColdStart(path: string, checkpointBytes: number, home: string, runs: number): Promise<ColdStart> {
  const times: number[] = [];
  for (let turn = 0; turn < runs; turn += 1) times.push(await startOnce(path, home));
  return { checkpointBytes, ms: Math.min(...times), runs: times };
}

async function startOnce(path: string, home: string): Promise<number> {
  const begin = performance.now();
  const child = spawn(process.execPath, [RANKCAST, "load", path, "--immutable", "--json"], {
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"], RANKCAST_HOME: home },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let loadedMs = Number.NaN;
  let errors = "";
  child.stdout.on("data", () => {
    loadedMs = performance.now() - begin;
  });
  child.stderr.on("data", (chunk: Buffer) => {
    errors += chunk.toString("utf8");
  });
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`rankcast load ended with ${code}: ${errors}`);
  return loadedMs;
}
