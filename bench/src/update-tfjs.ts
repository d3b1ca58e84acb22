/**
 * Weight updates of a 4 MiB policy that TensorFlow.js holds, to every replica of every rank, from weights in torch's order and in the library's own. `--ranks 4 --replicas 2 --updates 60`.
 */
import { fork } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const WARM = 5;
const RANK = fileURLToPath(new URL("./update-tfjs-rank.js", import.meta.url));

interface RankResult {
  readonly rank: number;
  readonly times: readonly number[];
  readonly answers: readonly number[];
}

const { values } = parseArgs({
  options: {
    ranks: { type: "string", default: "4" },
    replicas: { type: "string", default: "2" },
    updates: { type: "string", default: "60" },
  },
});
const [ranks, replicas, updates] = [values.ranks, values.replicas, values.updates].map(Number) as [number, number, number];
for (const order of ["torch", "tfjs"]) {
  const results = await runRanks(order);
  const expected = 512 * 1024 * (updates / 1e6) ** 2;
  const wrong = results.filter(({ answers }) => answers.some((answer) => Math.abs(answer - expected) > 1e-6 * expected));
  if (wrong.length > 0) throw new Error(`replicas do not hold the last update: ${JSON.stringify(wrong)}`);
  const times = [...(results.find(({ rank }) => rank === 0)?.times ?? [])].slice(WARM).sort((a, b) => a - b);
  const at = (quantile: number): string =>
    (times[Math.min(times.length - 1, Math.floor(quantile * times.length))] ?? Number.NaN).toFixed(2);
  process.stdout.write(`${order}'s order to ${ranks} x ${replicas}: median ${at(0.5)} ms, p99 ${at(0.99)}, best ${at(0)}\n`);
}

async function runRanks(order: string): Promise<RankResult[]> {
  const job = randomUUID();
  return Promise.all(
    Array.from({ length: ranks }, async (_, rank) => {
      const env = {
        ...process.env,
        ...{ RANK: `${rank}`, LOCAL_RANK: `${rank}`, WORLD_SIZE: `${ranks}`, LOCAL_WORLD_SIZE: `${ranks}`, TORCHELASTIC_RUN_ID: job },
      };
      const child = fork(RANK, [order, `${replicas}`, `${updates}`], { env });
      const [result] = (await Promise.race([
        once(child, "message"),
        once(child, "exit").then(([code]) => Promise.reject(new Error(`rank ${rank} ended with ${code}`))),
      ])) as [RankResult];
      return result;
    }),
  );
}
