/**
 * One rank publishes versions without waiting; the other ranks' pools take them between their steps. The first of them wants the latest and is slow,
 * the others want every version. Prints what each rank saw. Arguments: versions, and the rank that publishes (0).
 */
import { StateDict, Tensor } from "@rankcast/core";
import { joinGroup, type WeightsUpdate } from "@rankcast/worker";
import { ELEMENTS } from "../replicas/wide-model.js";

const versions = Number(process.argv[2]);
const learner = Number(process.argv[3] ?? 0);
await using group = await joinGroup();
if (group.rank === learner) await learn();
else await act();

async function learn(): Promise<void> {
  const weights = new StateDict([
    ["left", Tensor.from(new Float32Array(ELEMENTS), [ELEMENTS])],
    ["right", Tensor.from(new Float32Array(ELEMENTS), [ELEMENTS])],
  ]);
  await group.barrier("subscribed");
  for (let turn = 1; turn <= versions; turn += 1) {
    for (const tensor of weights.values()) (tensor.data as Float32Array).fill(turn);
    await group.publish(weights, { version: `step ${turn}` });
    // What a real learner's next step does: it lets messages in, among them which memory is free again.
    await nextTurn();
  }
  await group.barrier("closed");
  // Enough to go through every memory set that replicas have ever looked at.
  for (let turn = 1; turn <= 4; turn += 1) {
    for (const tensor of weights.values()) (tensor.data as Float32Array).fill(1000 + turn);
    await group.publish(weights, { version: "too late" });
    await group.barrier("seen");
  }
  await group.barrier("all over");
  process.stdout.write(JSON.stringify({ rank: group.rank, nodeRank: group.nodeRank }));
}

async function act(): Promise<void> {
  const isSlow = group.rank === (learner === 0 ? 1 : 0);
  const pool = await group.createPool({ replica: new URL("../replicas/wide-model.js", import.meta.url), replicas: 2 });
  const updates: WeightsUpdate[] = [];
  let last: (() => void) | undefined;
  const whenLast = new Promise<void>((resolve) => {
    last = resolve;
  });
  const subscription = pool.subscribe({
    policy: isSlow ? "latest" : "every",
    onUpdate: (update) => {
      updates.push(update);
      if (update.number === versions) last?.();
    },
  });
  await group.barrier("subscribed");
  const held: (number[] | null)[] = [];
  const replies: { version: string; behind: number }[] = [];
  let done = false;
  void whenLast.then(() => {
    done = true;
  });
  while (!done) {
    if (isSlow) await pool.run("scribble", 5, { replica: 0 });
    for (const replica of [0, 1]) {
      const { value, version, behind } = await pool.call("distinctValues", undefined, { replica });
      held.push(value as number[] | null);
      replies.push({ version, behind });
    }
    if (isSlow) continue;
    await nextTurn();
  }
  const ended = await pool.runAll("distinctValues");
  await subscription.close();
  // From now on the weights are the replicas' own: what is published later does not reach them.
  await group.barrier("closed");
  for (let turn = 1; turn <= 4; turn += 1) await group.barrier("seen");
  await group.barrier("all over");
  const kept = await pool.runAll("distinctValues");
  process.stdout.write(
    JSON.stringify({ rank: group.rank, nodeRank: group.nodeRank, updates, held, replies, ended, kept, behind: subscription.behind }),
  );
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
