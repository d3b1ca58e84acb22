/**
 * A subscription whose first version cannot be attached: the process has no file descriptor left. Prints the values of the replica after that, and after a
 * restart. Meant for portable memory, where the rank reads for its replicas.
 */
import { execFileSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { StateDict, Tensor } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";
import { ELEMENTS } from "../replicas/wide-model.js";

const DESCRIPTORS_MAX = 256;

await using group = await joinGroup();
const pool = await group.createPool({ replica: new URL("../replicas/wide-model.js", import.meta.url), replicas: 1 });
await pool.update(weights(1), { version: "one" });
await pool.update(weights(2), { version: "two" });
await group.publish(weights(3), { version: "three" });
execFileSync("prlimit", ["--pid", String(process.pid), `--nofile=${DESCRIPTORS_MAX}:`]);
const taken = takeAllDescriptors();
const code = await new Promise<string>((resolve) => {
  pool.subscribe({ onUpdate: ({ version }) => resolve(version), onError: (error) => resolve(String(error.code)) });
});
for (const fd of taken) closeSync(fd);
const after = await pool.call("distinctValues");
await pool.restart(0);
const restarted = await pool.call("distinctValues");
process.stdout.write(JSON.stringify({ code, after, restarted }));

function takeAllDescriptors(): number[] {
  const descriptors: number[] = [];
  try {
    for (;;) descriptors.push(openSync("/dev/null", "r"));
  } catch {
    return descriptors;
  }
}

function weights(value: number): StateDict {
  return new StateDict(
    ["left", "right"].map((name): [string, Tensor] => [name, Tensor.from(new Float32Array(ELEMENTS).fill(value), [ELEMENTS])]),
  );
}
