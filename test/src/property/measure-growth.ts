/**
 * What reading a checkpoint takes, as whoever runs it sees it: by how much the resident size of a fresh process grows at most, with the flags that Node
 * has by default. That is everything at once: the heap with what waits to be collected and with the young generation, which takes up to 32 MiB of it,
 * buffers outside the heap, pages of Node's own code that are first used meanwhile.
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect } from "chai";
import { FIXTURES } from "../support/fixtures.ts";

const MIB = 2 ** 20;
const READER = fileURLToPath(new URL("./programs/read-hostile.js", import.meta.url));
const WARM = ["torch-zip/state_dict_t213.pt", "pickle/detectron2_like.pkl", "torch-zip/py_containers.pt", "safetensors/basic.safetensors"];
const execute = promisify(execFile);
/** The collector runs when it likes, so every one of several runs must stay below. */
const RUNS = 2;

/** Expects that reading `path` takes less than twice its size and 64 MiB, each time; how the reading ended. */
export async function expectBounded(path: string): Promise<string> {
  const args = [READER, path, ...WARM.map((each) => `${FIXTURES}accepted/${each}`)];
  // Flags of this process are not those of a user's.
  const { NODE_OPTIONS: _, ...env } = process.env;
  let ended = "";
  for (let run = 0; run < RUNS; run += 1) {
    const { stdout } = await execute(process.execPath, args, { env });
    const { outcome, grownBytes, fileBytes } = JSON.parse(stdout) as { outcome: string; grownBytes: number; fileBytes: number };
    expect(grownBytes, `${outcome} ${path}`).to.be.below(2 * fileBytes + 64 * MIB);
    ended = outcome;
  }
  return ended;
}
