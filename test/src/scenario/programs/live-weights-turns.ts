/**
 * Two ranks of different nodes publish in turns; the others' pools take every version, from memory of their neighbour that is used again and
 * from memory that their node was brought. Prints what each subscriber held after every turn. Arguments: turns.
 */
import { StateDict, Tensor } from "@rankcast/core";
import { joinGroup } from "@rankcast/worker";
import { ELEMENTS } from "../replicas/wide-model.js";

const turns = Number(process.argv[2]);
await using group = await joinGroup();
// The first rank of each of two nodes of two ranks.
const publishes = group.rank % 2 === 0;
const held: unknown[] = [];
if (publishes) {
  await group.barrier("subscribed");
  for (let turn = 1; turn <= turns; turn += 1) {
    if (turn % 2 === group.rank / 2) {
      const values = () => Tensor.from(new Float32Array(ELEMENTS).fill(turn), [ELEMENTS]);
      await group.publish(new StateDict([["left", values()] as const, ["right", values()] as const]), { version: `turn ${turn}` });
    }
    await group.barrier("taken");
  }
} else {
  const pool = await group.createPool({ replica: new URL("../replicas/wide-model.js", import.meta.url), replicas: 1 });
  let took: ((version: string) => void) | undefined;
  const subscription = pool.subscribe({ policy: "every", onUpdate: ({ version }) => took?.(version) });
  let taken = nextVersion();
  await group.barrier("subscribed");
  for (let turn = 1; turn <= turns; turn += 1) {
    const version = await taken;
    held.push({ version, values: await pool.run("distinctValues") });
    // As training does: what a replica writes over a version is gone with the next one.
    await pool.run("scribble", 0);
    taken = nextVersion();
    await group.barrier("taken");
  }
  await subscription.close();

  function nextVersion(): Promise<string> {
    return new Promise((resolve) => {
      took = resolve;
    });
  }
}
process.stdout.write(JSON.stringify({ rank: group.rank, held }));
