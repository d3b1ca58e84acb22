/**
 * `npm run bench:load`: the main job over checkpoint sizes, ranks, replicas, cold and cached, beside the plain way.
 * Arguments: `--mib 256,1024 --ranks 1,2,4 --replicas 1,2 --runs 3 --out bench/results/load.json`. Progress goes to stderr, the table to
 * stdout, everything to the file.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { extentsOf, generateCheckpoint } from "./generated-checkpoint.js";
import { startLoadOrigin } from "./load-origin.js";
import { completeResults, type LoadRow, renderTable } from "./load-results.js";
import { type LoadCase, type LoadCost, loadPlainly, loadWithRankcast } from "./load-run.js";

const MIB = 2 ** 20;

const { values } = parseArgs({
  options: {
    mib: { type: "string", default: "256,1024" },
    ranks: { type: "string", default: "1,2,4" },
    replicas: { type: "string", default: "1,2" },
    runs: { type: "string", default: "3" },
    out: { type: "string" },
  },
});
const numbers = (text: string): number[] => text.split(",").map(Number);
const directory = mkdtempSync(join(tmpdir(), "rankcast-bench-"));
const rows: LoadRow[] = [];
try {
  for (const mib of numbers(values.mib)) await measureSize(mib * MIB);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
const results = completeResults(rows);
const { cpu, cores, node } = results.machine;
process.stdout.write(`${renderTable(rows)}\n\n${cpu}, ${cores} cores, Node ${node}, commit ${results.commit}\n`);
for (const { name, ratio, atMost } of results.targets) {
  process.stdout.write(`${ratio <= atMost ? "kept  " : "MISSED"} ${name}: ${ratio.toFixed(2)}, at most ${atMost}\n`);
}
if (values.out !== undefined) {
  mkdirSync(dirname(values.out), { recursive: true });
  writeFileSync(values.out, `${JSON.stringify(results, null, 2)}\n`);
}

async function measureSize(nbytes: number): Promise<void> {
  const checkpoint = await generateCheckpoint(join(directory, "model.pt"), nbytes);
  const extents = extentsOf(checkpoint);
  const origin = await startLoadOrigin(checkpoint.path);
  try {
    for (const ranks of numbers(values.ranks)) {
      for (const replicas of numbers(values.replicas)) {
        const cacheHome = join(directory, "cache");
        const each = { ranks, replicas };
        // Fresh cache, so there can be one cold run per cache; the next ones are cached.
        await measure("cold", checkpoint.bytes, each, 1, () => loadWithRankcast(origin.url, each, cacheHome));
        await measure("cached", checkpoint.bytes, each, Number(values.runs), () => loadWithRankcast(origin.url, each, cacheHome));
        rmSync(cacheHome, { recursive: true });
        await measure("plain", checkpoint.bytes, each, Number(values.runs), () => loadPlainly(checkpoint.path, each, extents));
      }
    }
  } finally {
    origin.close();
  }
}

/** Keeps the best run: on a shared machine only the best says what the code costs. */
async function measure(
  how: LoadRow["how"],
  checkpointBytes: number,
  each: LoadCase,
  runs: number,
  run: () => Promise<LoadCost>,
): Promise<void> {
  const costs: LoadCost[] = [];
  for (let turn = 0; turn < runs; turn += 1) costs.push(await run());
  const best = costs.reduce((one, other) => (other.ms < one.ms ? other : one));
  rows.push({ how, checkpointBytes, ...each, ...best, runs: costs.map(({ ms }) => ms) });
  const gib = (checkpointBytes / 2 ** 30).toFixed(2);
  process.stderr.write(`${gib} GiB, ${each.ranks} x ${each.replicas}, ${how}: ${best.ms.toFixed(0)} ms\n`);
}
