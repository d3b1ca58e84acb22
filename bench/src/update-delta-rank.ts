/**
 * One of two ranks, each a node of its own, of which rank 0 changes one weight in a hundred before every update. Sends to its parent what travelled to the other node in each
 * update and how long each took; both check that their replicas hold the last one. Arguments: mebibytes, `rows` or `scattered`, updates.
 */
import { StateDict, Tensor } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";

const [mib = "256", pattern = "rows", updates = "8"] = process.argv.slice(2);
const TENSORS = 64;
const ROW = 1024;
const count = (Number(mib) * 2 ** 20) / 4 / TENSORS;
await using group = await joinGroup();
const pool = await group.createPool({ replicas: 2 });
const values = Array.from({ length: TENSORS }, (_, index) => noise(count, index + 1));
const weights = new StateDict(values.map((each, index) => [`layer${index}.weight`, Tensor.from(each, [count / ROW, ROW])] as const));
await pool.update(group.rank === 0 ? weights : null);
const steps: { readonly bytes: number; readonly encoding: string; readonly ms: number }[] = [];
for (let turn = 1; turn <= Number(updates); turn += 1) {
  for (const each of values) change(each, turn);
  await group.barrier("step");
  const beginMs = performance.now();
  const { broadcast } = await pool.update(group.rank === 0 ? weights : null);
  steps.push({ bytes: broadcast?.bytes ?? 0, encoding: broadcast?.encoding ?? "none", ms: performance.now() - beginMs });
}
const held = await pool.stateDict({ replica: 1 });
const isExact = [...weights].every(([name, { data }]) => {
  const [one, other] = [data as Float32Array, held.get(name)?.data as Float32Array];
  return Buffer.compare(bytesOf(one), bytesOf(other)) === 0;
});
process.send?.({ rank: group.rank, steps, isExact, nbytes: 4 * count * TENSORS });
process.disconnect();

/** One element in a hundred, alike on both ranks: whole rows, or each in a place of its own. */
function change(each: Float32Array, turn: number): void {
  for (let index = turn; index < each.length; index += pattern === "rows" ? 100 * ROW : 100) {
    const begin = pattern === "rows" ? index - (index % ROW) : index;
    const end = pattern === "rows" ? begin + ROW : index + 1;
    for (let at = begin; at < end; at += 1) each[at] = (each[at] ?? 0) * 1.001;
  }
}

function noise(length: number, seed: number): Float32Array<ArrayBuffer> {
  let state = seed * 2_654_435_761;
  const made = new Float32Array(length);
  for (let index = 0; index < length; index += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    made[index] = state / 2 ** 31;
  }
  return made;
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
