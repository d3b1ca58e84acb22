/**
 * Several ranks of `nodes.ts` in one process, on one of two nodes. Arguments: index of the process, processes, ranks, barriers, folder for sockets, pause between barriers. Barriers of
 * the job and of bare sockets take turns, a hundred of each.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { joinGroup } from "@rankcast/worker";
import { joinSockets, startSocketNode } from "./socket-barrier.js";

const [index = 0, processes = 1, ranks = 1, barriers = 1] = process.argv.slice(2, 6).map(Number);
const directory = process.argv[6] ?? ".";
const pauseMs = Number(process.argv[7] ?? 0);
const WARM = 20;
const BLOCK = 100;
const perProcess = ranks / processes;
const perNode = ranks / 2;
const node = Math.floor((index * perProcess) / perNode);
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
const barrier = (name: string): Promise<unknown> => Promise.all(groups.map((group) => group.barrier(name, { timeoutMs: 120_000 })));

const portFile = join(directory, "port");
const pathOf = (each: number): string => join(directory, `node-${each}.sock`);
let socketNode: { close(): void } | null = null;
if (index === 0) {
  const head = await startSocketNode({ path: pathOf(0), ranks: perNode, headPort: null, nodes: 1 });
  writeFileSync(portFile, String(head.port));
  socketNode = head;
}
await barrier("head");
if (index * perProcess === perNode) {
  if (!existsSync(portFile)) throw new Error("the head of the peer is not there");
  socketNode = await startSocketNode({ path: pathOf(1), ranks: perNode, headPort: Number(readFileSync(portFile, "utf8")), nodes: 0 });
}
await barrier("node");
const sockets = await Promise.all(groups.map(() => joinSockets(pathOf(node))));
const bare = (): Promise<unknown> => Promise.all(sockets.map((socket) => socket.arrive()));

await barrier("ready");
process.send?.({ ready: true });
const times: number[] = [];
const bareTimes: number[] = [];
for (let count = 0; count < WARM; count += 1) {
  await barrier("measured");
  await bare();
}
for (let from = 0; from < barriers; from += BLOCK) {
  for (const [run, into] of [[() => barrier("measured"), times] as const, [bare, bareTimes] as const]) {
    for (let count = from; count < Math.min(from + BLOCK, barriers); count += 1) {
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
      const startMs = performance.now();
      await run();
      into.push(performance.now() - startMs);
    }
  }
}
process.send?.({ times, bareTimes });
for (const socket of sockets) socket.close();
await Promise.all(groups.reverse().map((group) => group.close()));
socketNode?.close();
process.disconnect();
