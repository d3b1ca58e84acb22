/**
 * An actor-learner loop on one machine: 1 rank learns, 3 ranks play with 2 policies each. `node examples/dist/cartpole/main.js [updates [curve.svg]]`
 * ends when the mean return of 100 episodes is 195 (Gym calls CartPole-v0 solved then) or after so many updates (default 150).
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { launch } from "@rankcast/coordinator";

const GOAL = 195;
const policy = fileURLToPath(new URL("../../cartpole/policy.pt", import.meta.url));
const [updates = "150", curveFile = "cartpole.svg"] = process.argv.slice(2);

const directory = mkdtempSync(join(tmpdir(), "rankcast-cartpole-"));
try {
  await launch({
    script: fileURLToPath(new URL("./rank.js", import.meta.url)),
    args: [policy, join(directory, "rollouts.sock"), updates, String(GOAL), curveFile],
    nprocPerNode: 4,
  });
} finally {
  rmSync(directory, { recursive: true, force: true });
}
