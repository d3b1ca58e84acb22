/**
 * How long `group.publish` keeps a learner: one copy, however slow those who subscribe are. One rank publishes as a learner does, three take versions into two replicas each; one of
 * them is always busy. `--mib 4,64 --versions 200`.
 */
import { fork } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { memcpySeconds } from "./measure.js";

const MIB = 2 ** 20;
const RANKS = 4;
const RANK = fileURLToPath(new URL("./publish-rank.js", import.meta.url));

const { values } = parseArgs({ options: { mib: { type: "string", default: "4,64" }, versions: { type: "string", default: "200" } } });
for (const mib of values.mib.split(",").map(Number)) {
  const job = randomUUID();
  const results = await Promise.all(
    Array.from({ length: RANKS }, async (_, rank) => {
      const env = {
        ...process.env,
        ...{ RANK: `${rank}`, LOCAL_RANK: `${rank}`, WORLD_SIZE: `${RANKS}`, LOCAL_WORLD_SIZE: `${RANKS}`, TORCHELASTIC_RUN_ID: job },
      };
      const child = fork(RANK, [`${mib}`, values.versions], { env });
      const [result] = (await Promise.race([
        once(child, "message"),
        once(child, "exit").then(([code]) => Promise.reject(new Error(`rank ${rank} ended with ${code}`))),
      ])) as [{ readonly times?: readonly number[]; readonly taken?: number }];
      return result;
    }),
  );
  const times = [...(results[0]?.times ?? [])].slice(5).sort((a, b) => a - b);
  const at = (quantile: number): number => times[Math.min(times.length - 1, Math.floor(quantile * times.length))] ?? Number.NaN;
  const memcpyMs = memcpySeconds(mib * MIB) * 1000;
  const taken = results.slice(1).map(({ taken: count }) => count);
  process.stdout.write(
    `${mib} MiB: publish takes ${at(0.5).toFixed(2)} ms (median), p99 ${at(0.99).toFixed(2)}, best ${at(0).toFixed(2)}; memcpy ${memcpyMs.toFixed(2)} ms; ` +
      `of ${values.versions} versions the subscribers took ${taken.join(", ")}\n`,
  );
}
