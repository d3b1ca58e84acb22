/**
 * Rank 0 publishes both parameters, rank 1 only the right one; ranks 2 and 3 subscribe. What of rank 0's versions is still used beside rank 1's must stay as it
 * is while rank 0 goes on publishing, also after the subscription has ended. Rank 3 keeps memory of the node in use that rank 2 has taken the first version
 * from. Prints what rank 2 held.
 */
import { StateDict, Tensor } from "@rankcast/core";
import { joinGroup, type WeightsUpdate } from "@rankcast/worker";
import { ELEMENTS } from "../replicas/wide-model.js";

await using group = await joinGroup();
const pool =
  group.rank < 2 ? null : await group.createPool({ replica: new URL("../replicas/wide-model.js", import.meta.url), replicas: 1 });
const taken = versions();
const subscription = pool?.subscribe({ onUpdate: taken.add });
const held: unknown[] = [];
await group.barrier("subscribed");

await publish(0, ["left", "right"], 1);
await takes([2, 3], "1");
const third = hold(3);
await group.barrier("rank 3 goes no further");
await publish(1, ["right"], -1);
await takes([2], "-1");
const second = hold(2);
await group.barrier("rank 2 goes no further either");
await publish(0, ["left", "right"], 2);
await third.end();
await takes([3], "2");
for (const value of [3, 4, 5]) await publish(0, ["left", "right"], value);
await takes([3], "5");
held.push(await second.end());
await takes([2], "5");
await publish(1, ["right"], -2);
await takes([2, 3], "-2");
if (group.rank === 2) await subscription?.close();
await group.barrier("closed");
for (const value of [6, 7, 8]) await publish(0, ["left", "right"], value);
await takes([3], "8");
held.push(await hold(2).end());
process.stdout.write(JSON.stringify({ rank: group.rank, held }));

/** Everybody waits until the rank has published. */
async function publish(rank: number, names: readonly string[], value: number): Promise<void> {
  const tensor = (): Tensor => Tensor.from(new Float32Array(ELEMENTS).fill(value), [ELEMENTS]);
  if (group.rank === rank) await group.publish(new StateDict(names.map((name) => [name, tensor()])), { version: String(value) });
  await group.barrier(`published ${value}`);
}

/** Everybody waits until these ranks have the version. */
async function takes(ranks: readonly number[], version: string): Promise<void> {
  if (ranks.includes(group.rank)) await taken.of(version);
  await group.barrier(`taken ${version} by ${ranks}`);
}

/** The rank's replica is in a step until it is told to look and go on. */
function hold(rank: number): { end(): Promise<unknown> } {
  if (group.rank !== rank) return { end: async () => null };
  const flag = new Int32Array(new SharedArrayBuffer(4));
  const values = pool?.run("whenTold", flag);
  return {
    end: () => {
      Atomics.store(flag, 0, 1);
      Atomics.notify(flag, 0);
      return values ?? Promise.resolve(null);
    },
  };
}

function versions(): { add(update: WeightsUpdate): void; of(version: string): Promise<void> } {
  const seen = new Set<string>();
  let wake = (): void => undefined;
  return {
    add: ({ version }) => {
      seen.add(version);
      wake();
    },
    of: async (version) => {
      while (!seen.has(version)) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}
