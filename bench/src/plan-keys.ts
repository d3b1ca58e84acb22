/**
 * Milliseconds to plan a load of many keys: a sequence of batch norms, five keys each, as in torch issue 61398. Prints JSON:
 * `node bench/dist/plan-keys.js [keys]`.
 */
import { Module, Parameter, StateDict, Tensor } from "@rankcast/core";
import { commitStateDict, planStateDict } from "@rankcast/core/internal";

const layers = Math.ceil(Number(process.argv[2] ?? 10_000) / 5);
const RUNS = 15;

function batchNorm(): Module {
  const module = new Module({ typeName: "BatchNorm1d", version: 2 });
  const vector = (): Tensor => Tensor.from(new Float32Array(4), [4]);
  for (const name of ["weight", "bias"]) module.registerParameter(name, new Parameter(vector()));
  for (const name of ["running_mean", "running_var"]) module.registerBuffer(name, vector());
  module.registerBuffer("num_batches_tracked", Tensor.from(new BigInt64Array(1), []));
  return module;
}

function sequential(): Module {
  const model = new Module({ typeName: "Sequential" });
  for (let layer = 0; layer < layers; layer += 1) model.registerModule(String(layer), batchNorm());
  return model;
}

/** Under keys that are no one's else, as they come from a file. */
function fromFile(stateDict: StateDict): StateDict {
  const copy = new StateDict([...stateDict].map(([key, tensor]) => [Buffer.from(key).toString(), new Tensor({ ...tensor })]));
  copy.metadata = new Map(stateDict.metadata);
  return copy;
}

function timed(run: () => void): number {
  const begin = process.hrtime.bigint();
  run();
  return Number(process.hrtime.bigint() - begin) / 1e6;
}

const times: Record<string, number[]> = { first: [], commit: [], again: [], otherKeys: [] };
const saved = sequential().stateDict();
for (let turn = 0; turn < RUNS; turn += 1) {
  const model = sequential();
  const given = fromFile(saved);
  let plan = planStateDict(new Module(), new StateDict());
  times["first"]?.push(timed(() => (plan = planStateDict(model, given))));
  times["commit"]?.push(timed(() => commitStateDict(plan)));
  const next = fromFile(saved);
  times["again"]?.push(timed(() => planStateDict(model, next)));
  next.delete("0.weight");
  times["otherKeys"]?.push(timed(() => planStateDict(model, next)));
}
const summary = Object.entries(times).map(([name, all]) => {
  const sorted = all.toSorted((a, b) => a - b);
  const round = (value: number | undefined) => Number((value ?? 0).toFixed(1));
  return { name, bestMs: round(sorted[0]), medianMs: round(sorted[Math.floor(RUNS / 2)]), coldMs: round(all[0]) };
});
process.stdout.write(`${JSON.stringify({ keys: layers * 5, modules: layers + 1, runs: RUNS, figures: summary }, null, 2)}\n`);
