/** One rank of `publish`: rank 0 publishes, the others subscribe to the latest; the first of those is always busy. Arguments: MiB, versions. */
import { Module, Parameter, StateDict, Tensor } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";

const TENSORS = 16;
const [mib = "4", versions = "200"] = process.argv.slice(2);
const elements = (Number(mib) * 2 ** 18) / TENSORS;

/** For the pools of this program's own ranks. */
export function createReplica({ options }: { readonly options: unknown }): Module {
  const model = new Module();
  for (let index = 0; index < TENSORS; index += 1) model.registerParameter(`p${index}`, Parameter.meta("float32", [Number(options)]));
  return model;
}

/** A step that takes its time. */
export function step(_: Module, milliseconds: number): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

if (process.send) await main(process.send.bind(process));

async function main(send: (message: unknown) => unknown): Promise<void> {
  await using group = await joinGroup();
  if (group.rank === 0) {
    const weights = new StateDict(
      Array.from({ length: TENSORS }, (_, index) => [`p${index}`, Tensor.from(new Float32Array(elements), [elements])] as const),
    );
    await group.barrier("subscribed");
    const times: number[] = [];
    for (let turn = 1; turn <= Number(versions); turn += 1) {
      for (const tensor of weights.values()) (tensor.data as Float32Array).fill(turn);
      const begin = performance.now();
      await group.publish(weights, { version: `${turn}` });
      times.push(performance.now() - begin);
      // The rest of a learner's step.
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await group.barrier("published");
    send({ times });
  } else {
    const pool = await group.createPool({ replica: new URL(import.meta.url), replicas: 2, options: elements });
    let taken = 0;
    const subscription = pool.subscribe({ onUpdate: () => (taken += 1) });
    await group.barrier("subscribed");
    let over = false;
    const published = group.barrier("published").then(() => {
      over = true;
    });
    while (!over) await (group.rank === 1 ? pool.runAll("step", 20) : new Promise((resolve) => setTimeout(resolve, 1)));
    await published;
    await subscription.close();
    send({ taken });
  }
  process.disconnect();
}
