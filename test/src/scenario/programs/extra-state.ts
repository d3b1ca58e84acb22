/**
 * One rank with a model of its own and two replicas in threads, all of whose modules keep extra state: a checkpoint, then updates of one module.
 * Prints what every module was given. Arguments: weights, names of the modules with commas between.
 */
import { StateDict, Tensor } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";
import { plainStates, StatefulModel } from "../../support/stateful-model.js";

const [weights = "", given = ""] = process.argv.slice(2);
const names = given.split(",");
await using group = await joinGroup();
const model = new StatefulModel(names);
await group.loadModelCheckpoint(model, weights, { strict: true });
const pool = await group.createPool({
  replica: new URL("../replicas/stateful-model.js", import.meta.url),
  replicas: 2,
  options: { names },
});
await pool.load(weights, { strict: true });
const loaded = [plainStates(model.states), ...(await pool.runAll("states"))];
const updated: unknown[] = [];
// Two sets of segments take turns; the margin travels with the layout, the scale in the segments.
for (const [turn, margin] of [1, 1, 1, 1, 2].entries()) {
  await pool.update(group.rank === 0 ? update(turn, margin) : null, { src: 0 });
  const all = (await pool.runAll("states")) as Record<string, unknown>[];
  updated.push(all.map((each) => each[names[0] ?? ""]));
}
process.stdout.write(JSON.stringify({ loaded, updated }));

function update(turn: number, margin: number): StateDict {
  const next = new StateDict([[`${names[0]}.weight`, Tensor.from(new Float32Array(4).fill(turn), [4])]]);
  next.extraState.set(`${names[0]}._extra_state`, { margin, scale: [Tensor.from(Float32Array.of(turn, turn + 0.5), [2])] });
  return next;
}
