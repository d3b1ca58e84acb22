/**
 * One rank of a job over nodes that updates some names of a model: those named get the new values, all others stay as they are in each replica, also when they
 * differ from rank to rank. Prints, per step, how it travelled and which names hold something else than they must.
 */
import { createHash } from "node:crypto";
import { StateDict, Tensor } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";
import { PART_ELEMENTS, WEIGHT_ELEMENTS } from "../replicas/low-rank-model.js";

const ADAPTER = ["layer.lora_a", "layer.lora_b"];
const ALL = ["layer.weight", ...ADAPTER];

await using group = await joinGroup();
const pool = await group.createPool({ replica: new URL("../replicas/low-rank-model.js", import.meta.url), replicas: 2 });
/** What the learner has, alike on every rank, and what this rank's replicas must hold. */
const learner = new Map(ALL.map((name, seed) => [name, noise(name === "layer.weight" ? WEIGHT_ELEMENTS : PART_ELEMENTS, seed + 1)]));
const expected = new Map<string, Float32Array>();
const steps: unknown[] = [];

await step("everything", 0, ALL);
await step("an adapter", 0, ADAPTER);
change("layer.lora_a");
await step("an adapter, little changed", 0, ADAPTER);
await train(1 + group.rank);
change("layer.lora_b");
await step("an adapter from another node, bases differ", 1, ADAPTER);
change("layer.lora_a");
await step("and again", 1, ADAPTER);
await train(10 + group.rank);
change("layer.weight");
await step("the base alone, adapters differ", 0, ["layer.weight"]);
await step("an adapter after it", 0, ADAPTER);
await train(20 + group.rank);
await step("everything again", 1, ALL);
process.stdout.write(JSON.stringify({ rank: group.rank, steps }));

async function step(name: string, src: number, names: readonly string[]): Promise<void> {
  const weights = new StateDict(names.map((key) => [key, Tensor.from(valuesOf(key), [valuesOf(key).length])]));
  const report = await pool.update(group.rank === src ? weights : null, { src });
  for (const key of names) expected.set(key, valuesOf(key).slice());
  const wrong: string[] = [];
  for (const replica of [0, 1]) {
    const held = await pool.stateDict({ replica });
    for (const [key, values] of expected)
      if (digest(held.get(key)?.data as Float32Array) !== digest(values)) wrong.push(`${replica} ${key}`);
  }
  const nbytes = names.reduce((sum, key) => sum + valuesOf(key).byteLength, 0);
  steps.push({ name, encoding: report.broadcast?.encoding, share: (report.broadcast?.bytes ?? 0) / nbytes, wrong });
}

/** What training on this rank alone does. */
async function train(value: number): Promise<void> {
  await pool.runAll("train", value);
  for (const name of ["layer.weight", "layer.lora_b"]) {
    const values = expected.get(name);
    for (let index = 0; values && index < values.length; index += 1000) values[index] = value;
  }
}

/** A step of the learner's that changes one element in 5000. */
function change(name: string): void {
  const values = valuesOf(name);
  for (let index = 7; index < values.length; index += 5000) values[index] = (values[index] ?? 0) + 1;
}

function valuesOf(name: string): Float32Array<ArrayBuffer> {
  return learner.get(name) ?? new Float32Array(0);
}

/** The same on every rank, so that each knows what it must hold. */
function noise(count: number, seed: number): Float32Array<ArrayBuffer> {
  let state = seed * 2_654_435_761;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return state / 2 ** 31;
  });
}

function digest(values: Float32Array): string {
  return createHash("sha256").update(values).digest("hex");
}
