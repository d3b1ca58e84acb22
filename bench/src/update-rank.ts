/**
 * One rank of `bench:update`: a pool of replicas built from the checkpoint, then weight updates from rank 0's memory: some timed ones, many in a row, and
 * as many timed ones again, by code that has been compiled. Every rank sends the milliseconds of each timed update, how many in a row took a second, and
 * what its replicas ended with, to its parent. Arguments: weights, replicas, timed updates, and how many in a row.
 */
import { loadCheckpoint, StateDict, Tensor } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";

const [weights = "", replicas = "1", updates = "1", sustained = "0"] = process.argv.slice(2);
await using group = await joinGroup();
const pool = await group.createPool({ replicas: Number(replicas) });
await pool.load(weights, { immutable: true });
const learner = group.rank === 0 ? learnerOf(weights) : Promise.resolve(null);
const stateDict = await learner;
let turn = 0;
/** A learner writes its weights between updates: the pages are its own and touched. */
const write = (): void => {
  turn += 1;
  for (const tensor of stateDict?.values() ?? []) (tensor.data as Float32Array).fill(turn);
};
/** Updates that begin when all ranks are there. */
const timed = async (): Promise<number[]> => {
  const times: number[] = [];
  for (let left = Number(updates); left > 0; left -= 1) {
    write();
    await group.barrier("step");
    const begin = performance.now();
    await pool.update(stateDict);
    times.push(performance.now() - begin);
  }
  return times;
};
const first = await timed();
// One after the other for some seconds: what a loop can rely on.
await group.barrier("sustained");
const beginMs = performance.now();
for (let left = Number(sustained); left > 0; left -= 1) {
  write();
  await pool.update(stateDict);
}
const perSecond = (Number(sustained) * 1000) / (performance.now() - beginMs);
const times = await timed();
const ended = [...(await pool.stateDict()).values()].map((tensor) => tensor.get(0, 0));
process.send?.({ rank: group.rank, first, times, perSecond, ended: [...new Set(ended)] });
process.disconnect();

async function learnerOf(path: string): Promise<StateDict> {
  const { stateDict: loaded } = await loadCheckpoint(path);
  const own = new StateDict();
  for (const [name, tensor] of loaded) {
    own.set(
      name.replace(/^module\./, ""),
      Tensor.from(new Float32Array(tensor.shape.reduce((size, extent) => size * extent, 1)), tensor.shape),
    );
  }
  return own;
}
