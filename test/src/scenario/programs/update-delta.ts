/** One rank of a job over nodes that updates a wide model: little changed, from other nodes, much changed, after a failure. Prints how each travelled. */
import { createHash } from "node:crypto";
import { CheckpointError, StateDict, Tensor } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";
import { ELEMENTS } from "../replicas/wide-model.js";

await using group = await joinGroup();
const pool = await group.createPool({ replica: new URL("../replicas/wide-model.js", import.meta.url), replicas: 2 });
const left = noise(1);
const right = noise(2);
const steps: unknown[] = [];

await step("first", 0);
change(left, 10);
await step("a few elements", 0);
change(right, 20);
await step("from another node", 2);
change(left, 30);
await step("and from a third", 1);
left.set(noise(3));
right.set(noise(4));
await step("everything", 0);
change(left, 40);
await step("a few elements again", 0);
await step("names that nobody has", 1, "wrong.");
change(left, 50);
await step("after a failure", 1);
change(right, 60);
await step("and the one after", 2);
process.stdout.write(JSON.stringify(steps));

async function step(name: string, src: number, prefix = ""): Promise<void> {
  const weights = new StateDict([
    [`${prefix}left`, Tensor.from(left, [ELEMENTS])],
    [`${prefix}right`, Tensor.from(right, [ELEMENTS])],
  ]);
  let outcome: unknown;
  try {
    const report = await pool.update(group.rank === src ? weights : null, { src });
    outcome = report.broadcast?.encoding;
    const share = (report.broadcast?.bytes ?? 0) / (2 * 4 * ELEMENTS);
    const held = (await pool.stateDict({ replica: 1 })).get("left")?.data as Float32Array;
    const same = digest(held) === digest(left) && digest((await pool.stateDict()).get("right")?.data as Float32Array) === digest(right);
    steps.push({ name, outcome, share, same, generation: group.generation });
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    steps.push({ name, outcome: error.class, generation: group.generation });
  }
}

/** The same on every rank, so that each knows what it must hold. */
function noise(seed: number): Float32Array {
  let state = seed * 2_654_435_761;
  return Float32Array.from({ length: ELEMENTS }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return state / 2 ** 31;
  });
}

function change(values: Float32Array, at: number): void {
  for (let index = at; index < values.length; index += 5000) values[index] = (values[index] ?? 0) * 1.0001;
}

function digest(values: Float32Array): string {
  return createHash("sha256").update(values).digest("hex");
}
