/** Several ranks of `nodes.ts` in one process, on one of two nodes. Arguments: index of the process, processes, ranks, barriers. */
import { joinGroup } from "@rankcast/worker";

const [index = 0, processes = 1, ranks = 1, barriers = 1] = process.argv.slice(2).map(Number);
const WARM = 20;
const perProcess = ranks / processes;
const perNode = ranks / 2;
const groups = await Promise.all(
  Array.from({ length: perProcess }, (_, each) => {
    const rank = index * perProcess + each;
    return joinGroup({
      environment: {
        ...process.env,
        RANK: String(rank),
        LOCAL_RANK: String(rank % perNode),
        GROUP_RANK: String(Math.floor(rank / perNode)),
        WORLD_SIZE: String(ranks),
        LOCAL_WORLD_SIZE: String(perNode),
        TORCHELASTIC_RUN_ID: `bench-${process.env["RANKCAST_RDZV_ENDPOINT"]?.split(":")[1]}`,
      },
    });
  }),
);
const barrier = (name: string): Promise<unknown> => Promise.all(groups.map((group) => group.barrier(name, { timeoutMs: 30_000 })));
await barrier("ready");
process.send?.({ ready: true });
for (let count = 0; count < WARM; count += 1) await barrier("measured");
const times: number[] = [];
for (let count = 0; count < barriers; count += 1) {
  const startMs = performance.now();
  await barrier("measured");
  times.push(performance.now() - startMs);
}
process.send?.({ times });
await Promise.all(groups.reverse().map((group) => group.close()));
process.disconnect();
