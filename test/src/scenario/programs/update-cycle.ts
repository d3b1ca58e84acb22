/**
 * One rank with two replicas that takes many updates: same layout again and again, other sources, writes by a replica in between, another
 * layout, a source that fails while it copies, a replica that dies. Prints what every replica held after each step. Arguments: weights.
 */
import { CheckpointError, StateDict, Storage, Tensor } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";

const [weights = ""] = process.argv.slice(2);
await using group = await joinGroup();
const pool = await group.createPool({ replica: new URL("../replicas/fixture-model.js", import.meta.url), replicas: 2 });
await pool.load(weights, { strict: true });
const last = group.worldSize - 1;
// A target network takes the weights now and again; updates go on under it.
await pool.runAll("keepTarget");
const targets: unknown[] = [];
const seen: { step: string; outcome: string; bias: unknown; weight: unknown; generation: number }[] = [];

for (let turn = 1; turn <= 5; turn += 1) await step(`turn ${turn}`, { "fc.bias": bias(turn) });
targets.push(await pool.runAll("targetValues", "fc.bias"));
await pool.runAll("keepTarget");
// Copy-on-write pages of this set must not survive into the generation that is written to it two updates later.
await pool.run("scale", { name: "fc.bias", factor: 100 }, { replica: 0 });
await step("after a write", { "fc.bias": bias(6) });
await step("the set that was written", { "fc.bias": bias(7) });
await step("another source", { "fc.bias": bias(8) }, last);
await step("and again", { "fc.bias": bias(9) }, last);
await step("and the first", { "fc.bias": bias(10) });
await step("another layout", { "fc.bias": bias(11), "fc.weight": Tensor.from(new Float32Array(6).fill(11), [2, 3]) });
await step("another layout again", { "fc.bias": bias(12), "fc.weight": Tensor.from(new Float32Array(6).fill(12), [2, 3]) });
await step("a source without bytes", { "fc.bias": new Tensor({ dtype: "float32", shape: [2], storage: new Storage(null, 0, 8) }) });
await step("a tensor of another shape", {
  "fc.bias": Tensor.from(new Float32Array(5), [5]),
  "fc.weight": Tensor.from(new Float32Array(6), [2, 3]),
});
await step("what fits after that", { "fc.bias": bias(14), "fc.weight": Tensor.from(new Float32Array(6).fill(14), [2, 3]) });
await step("and its second set", { "fc.bias": bias(15), "fc.weight": Tensor.from(new Float32Array(6).fill(15), [2, 3]) });
await step("and its first", { "fc.bias": bias(16), "fc.weight": Tensor.from(new Float32Array(6).fill(16), [2, 3]) });
targets.push(await pool.runAll("targetValues", "fc.bias"));
process.stdout.write(JSON.stringify({ seen, targets }));

function bias(value: number): Tensor {
  return Tensor.from(new Float32Array([value, value + 0.5]), [2]);
}

async function step(name: string, tensors: Readonly<Record<string, Tensor>>, src = 0): Promise<void> {
  let outcome = "passed";
  try {
    await pool.update(group.rank === src ? new StateDict(Object.entries(tensors)) : null, { src });
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    outcome = error.code;
  }
  const held = await pool.runAll("valuesOf", "fc.bias");
  const weight = await pool.runAll("valuesOf", "fc.weight");
  seen.push({ step: name, outcome, bias: held, weight: (weight as number[][]).map((values) => values[0]), generation: group.generation });
}
