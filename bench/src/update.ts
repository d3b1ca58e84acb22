/**
 * `npm run bench:update`: weight updates from one rank's memory into every replica of every rank, beside a memcpy of as many bytes and gloo's broadcast in torch.
 * Arguments: `--mib 4,256 --ranks 4 --replicas 2 --updates 60 --out bench/results/update.json`.
 */
import { execFile, fork } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { generateCheckpoint } from "./generated-checkpoint.js";
import { memcpySeconds } from "./measure.js";
import { findTorch, pythonsOnPath } from "./peers/run-python.js";

const MIB = 2 ** 20;
const WARM = 5;
/** Some seconds of updates in a row. */
const sustainedUpdates = (mib: number): number => Math.max(20, Math.min(1000, Math.round(2000 / mib)));
const GLOO = fileURLToPath(new URL("../python/torch_updates.py", import.meta.url));
const RANK = fileURLToPath(new URL("./update-rank.js", import.meta.url));

interface RankResult {
  readonly rank: number;
  /** Milliseconds of the first timed updates, most of them by code that is not compiled yet. */
  readonly first: readonly number[];
  /** Milliseconds of the timed updates after those in a row. */
  readonly times: readonly number[];
  readonly perSecond: number;
  readonly ended: readonly number[];
}

const { values } = parseArgs({
  options: {
    mib: { type: "string", default: "4,256" },
    ranks: { type: "string", default: "4" },
    replicas: { type: "string", default: "2" },
    updates: { type: "string", default: "60" },
    out: { type: "string" },
  },
});
const [ranks, replicas, updates] = [values.ranks, values.replicas, values.updates].map(Number) as [number, number, number];
const [torch = null] = await findTorch(pythonsOnPath(process.env["PATH"] ?? ""));
if (torch === null) process.stderr.write("No Python with torch here: gloo's row is left out\n");
const directory = mkdtempSync(join(tmpdir(), "rankcast-bench-"));
const rows = [];
try {
  for (const mib of values.mib.split(",").map(Number)) {
    const { path } = await generateCheckpoint(join(directory, "model.pt"), mib * MIB);
    const results = await runRanks(path, sustainedUpdates(mib));
    const learner = results.find(({ rank }) => rank === 0);
    const at = quantiles(learner?.times ?? []);
    const firstMedianMs = quantiles((learner?.first ?? []).slice(WARM))(0.5);
    const last = 2 * updates + sustainedUpdates(mib);
    const wrong = results.filter(({ ended }) => ended.length !== 1 || ended[0] !== last);
    if (wrong.length > 0) throw new Error(`replicas do not hold the last update: ${JSON.stringify(wrong)}`);
    const memcpyMs = memcpySeconds(mib * MIB) * 1000;
    const glooMs = torch === null ? null : await glooMedian(torch.program, mib);
    const perSecond = Math.min(...results.map((result) => result.perSecond));
    const row = {
      glooMs,
      perSecond,
      mib,
      ranks,
      replicas,
      firstMedianMs,
      medianMs: at(0.5),
      p99Ms: at(0.99),
      bestMs: at(0),
      memcpyMs,
      ofMemcpy: at(0.5) / memcpyMs,
    };
    rows.push(row);
    process.stdout.write(
      `${mib} MiB to ${ranks} x ${replicas}: median ${row.medianMs.toFixed(2)} ms (the first ${updates}: ${firstMedianMs.toFixed(2)}), p99 ${row.p99Ms.toFixed(2)}, best ${row.bestMs.toFixed(2)}; memcpy ${memcpyMs.toFixed(2)} ms (${row.ofMemcpy.toFixed(2)} x); ${perSecond.toFixed(0)} per second in a row` +
        (glooMs === null
          ? "\n"
          : `; torch and gloo, without replicas: ${glooMs.toFixed(1)} ms (${(glooMs / row.medianMs).toFixed(1)} x)\n`),
    );
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
if (values.out !== undefined) {
  mkdirSync(dirname(values.out), { recursive: true });
  writeFileSync(values.out, `${JSON.stringify(rows, null, 2)}\n`);
}

function quantiles(times: readonly number[]): (quantile: number) => number {
  const sorted = [...times].sort((a, b) => a - b);
  return (quantile) => sorted[Math.min(sorted.length - 1, Math.floor(quantile * sorted.length))] ?? Number.NaN;
}

/** Median milliseconds of gloo's broadcast of as many bytes in 64 tensors to as many ranks. */
async function glooMedian(python: string, mib: number): Promise<number> {
  const rounds = String(mib >= 64 ? 9 : 30);
  // In a folder of its own: Python puts the current one on its path.
  const { stdout } = await promisify(execFile)(python, [GLOO, String(mib), String(ranks), rounds], { cwd: tmpdir() });
  const { ms } = JSON.parse(stdout) as { readonly ms: readonly number[] };
  return [...ms].sort((a, b) => a - b)[Math.floor(ms.length / 2)] ?? Number.NaN;
}

async function runRanks(weights: string, inARow: number): Promise<RankResult[]> {
  const job = randomUUID();
  return Promise.all(
    Array.from({ length: ranks }, async (_, rank) => {
      const env = {
        ...process.env,
        ...{ RANK: `${rank}`, LOCAL_RANK: `${rank}`, WORLD_SIZE: `${ranks}`, LOCAL_WORLD_SIZE: `${ranks}`, TORCHELASTIC_RUN_ID: job },
      };
      const child = fork(RANK, [weights, `${replicas}`, `${updates}`, `${inARow}`], { env });
      const [result] = (await Promise.race([
        once(child, "message"),
        once(child, "exit").then(([code]) => Promise.reject(new Error(`rank ${rank} ended with ${code}`))),
      ])) as [RankResult];
      return result;
    }),
  );
}
