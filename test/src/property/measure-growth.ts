/** What reading a checkpoint takes, measured from outside in fresh processes. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect } from "chai";
import { FIXTURES } from "../support/fixtures.ts";

const MIB = 2 ** 20;
const READER = fileURLToPath(new URL("./programs/read-hostile.js", import.meta.url));
const WARM = ["torch-zip/state_dict_t213.pt", "pickle/detectron2_like.pkl", "torch-zip/py_containers.pt", "safetensors/basic.safetensors"];
const execute = promisify(execFile);
const RUNS_MAX = 4;
/** The kernel counts pages of Node's own code that are first used meanwhile, and the heap grows by steps. */
const RESOLUTION_BYTES = 8 * MIB;

/** Expects that reading `path` takes at most twice its size and 64 MiB; how the reading ended. The young generation is small, so that what lives is measured. */
export async function expectBounded(path: string): Promise<string> {
  const args = ["--max-semi-space-size=1", READER, path, ...WARM.map((each) => `${FIXTURES}accepted/${each}`)];
  // The collector runs when it likes: what reading needs is the least that it was seen with.
  let least = Number.POSITIVE_INFINITY;
  let bound = 0;
  let ended = "";
  for (let run = 0; run < RUNS_MAX && !(least < bound); run += 1) {
    const { stdout } = await execute(process.execPath, args);
    const { outcome, grownBytes, fileBytes } = JSON.parse(stdout) as { outcome: string; grownBytes: number; fileBytes: number };
    least = Math.min(least, grownBytes);
    bound = 2 * fileBytes + 64 * MIB + RESOLUTION_BYTES;
    ended = outcome;
  }
  expect(least, `${ended} ${path}`).to.be.below(bound);
  return ended;
}
