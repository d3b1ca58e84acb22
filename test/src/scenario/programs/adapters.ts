/**
 * Replicas of one library in two threads: a strict load, an update to weights of zero, several updates back and forth. Arguments: weights,
 * library. Prints what the replicas answered after each.
 */
import { StateDict, Tensor } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";

const [weights = "", library = ""] = process.argv.slice(2);
await using group = await joinGroup();
const pool = await group.createPool({ replica: new URL("../replicas/adapted-cnn.js", import.meta.url), replicas: 2, options: library });
const report = await pool.load(weights, { strict: true, digest: true });
const answers = [await pool.runAll("forward")];
const loaded = await pool.stateDict();
const zeros = new StateDict([...loaded].map(([name, { dtype, shape }]) => [name, zerosOf(dtype, shape)]));
for (const next of [zeros, loaded, zeros, loaded, loaded]) {
  await pool.update(group.rank === 0 ? next : null);
  answers.push(await pool.runAll("forward"));
}
const digests = report.ranks.flatMap(({ replicas }) => replicas.map(({ digest }) => digest));
process.stdout.write(JSON.stringify({ digests, generation: group.generation, answers, adopted: await pool.runAll("adopted") }));

function zerosOf(dtype: Tensor["dtype"], shape: readonly number[]): Tensor {
  const count = shape.reduce((product, size) => product * size, 1);
  return Tensor.from(dtype === "int64" ? new BigInt64Array(count) : new Float32Array(count), shape);
}
