/**
 * What an update in which one weight in a hundred has changed sends from node to node: two ranks on two nodes of this machine, bytes counted. `--mib 256 --updates 8
 * --out bench/results/update-delta.json`.
 */
import { fork } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const RANK = fileURLToPath(new URL("./update-delta-rank.js", import.meta.url));
const NODES = 2;

interface RankResult {
  readonly rank: number;
  readonly steps: readonly { readonly bytes: number; readonly encoding: string; readonly ms: number }[];
  readonly isExact: boolean;
  readonly nbytes: number;
}

const { values } = parseArgs({
  options: { mib: { type: "string", default: "256" }, updates: { type: "string", default: "8" }, out: { type: "string" } },
});
const rows = [];
for (const pattern of ["rows", "scattered"]) {
  const results = await runNodes(pattern);
  if (!results.every(({ isExact }) => isExact)) throw new Error(`${pattern}: replicas do not hold the last update`);
  const [first] = results;
  if (!first) throw new Error("no rank");
  const { steps, nbytes } = first;
  const medianOf = (numbers: number[]): number => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
  const bytes = medianOf(steps.map((step) => step.bytes));
  const medianMs = medianOf(steps.map(({ ms }) => ms));
  const encodings = [...new Set(steps.map(({ encoding }) => encoding))];
  rows.push({ mib: Number(values.mib), nodes: NODES, changed: 0.01, pattern, encodings, bytes, share: bytes / nbytes });
  process.stdout.write(
    `${values.mib} MiB, 1 % changed (${pattern}): ${(bytes / 2 ** 20).toFixed(2)} MiB travel (${((100 * bytes) / nbytes).toFixed(2)} %, ${encodings.join(", ")}); median ${medianMs.toFixed(1)} ms\n`,
  );
}
if (values.out !== undefined) writeFileSync(values.out, `${JSON.stringify(rows, null, 2)}\n`);

/** One rank per node; each node's coordinator is a thread of its rank. */
function runNodes(pattern: string): Promise<RankResult[]> {
  const job = randomUUID();
  return Promise.all(
    Array.from({ length: NODES }, async (_, rank) => {
      const place = { RANK: `${rank}`, LOCAL_RANK: "0", GROUP_RANK: `${rank}`, WORLD_SIZE: `${NODES}`, LOCAL_WORLD_SIZE: "1" };
      const env = { ...process.env, ...place, MASTER_ADDR: "127.0.0.1", MASTER_PORT: "29500", TORCHELASTIC_RUN_ID: job };
      const child = fork(RANK, [values.mib, pattern, values.updates], { env });
      const [result] = (await Promise.race([
        once(child, "message"),
        once(child, "exit").then(([code]) => Promise.reject(new Error(`rank ${rank} ended with ${code}`))),
      ])) as [RankResult];
      return result;
    }),
  );
}
