/**
 * An actor-learner loop on one machine: 1 rank learns, 3 ranks play with 2 policies each. It ends when the mean return of 100 episodes is 195 (Gym calls
 * CartPole-v0 solved then) or after `--updates` training steps (150), and draws the learning curve (`--curve cartpole.svg`). `--wait` lets actors wait for
 * each update, which makes runs repeatable.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { launch } from "@rankcast/coordinator";
import type { CartPoleSettings } from "./settings.ts";

const { values } = parseArgs({
  options: {
    updates: { type: "string", default: "150" },
    curve: { type: "string", default: "cartpole.svg" },
    wait: { type: "boolean", default: false },
  },
});

const directory = mkdtempSync(join(tmpdir(), "rankcast-cartpole-"));
const settings: CartPoleSettings = {
  weights: fileURLToPath(new URL("../../cartpole/policy.pt", import.meta.url)),
  socketPath: join(directory, "rollouts.sock"),
  updates: Number(values.updates),
  goal: 195,
  curveFile: resolve(values.curve),
  waits: values.wait,
};
try {
  await launch({ script: fileURLToPath(new URL("./rank.js", import.meta.url)), args: [JSON.stringify(settings)], nprocPerNode: 4 });
} finally {
  rmSync(directory, { recursive: true, force: true });
}
