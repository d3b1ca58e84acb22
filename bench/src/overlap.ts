/**
 * Whether copies overlap with the download they come from: `node bench/dist/overlap.js [--mib 512] [--rate 150] [--ranks 2] [--runs 3] [--kinds cast,fresh]`.
 * Prints JSON. The origin gives `rate` MB/s in all.
 *
 * Of each kind the same file is loaded three ways, in turn: downloaded and adopted (the download), from the cache and copied (the copy), downloaded
 * and copied. The third would be the sum of the others if nothing overlapped, and the larger of them if everything did. Times are from "all ranks
 * have built their models" to "all have loaded"; medians.
 */
import { fork } from "node:child_process";
import { randomFillSync, randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { castTensor, StateDict, saveSafetensors, Tensor } from "@rankcast/core";
import { OVERLAP_KINDS, OVERLAP_TENSORS, type OverlapKind } from "./overlap-kinds.js";

const MIB = 2 ** 20;
const { values } = parseArgs({
  options: {
    mib: { type: "string", default: "512" },
    rate: { type: "string", default: "150" },
    ranks: { type: "string", default: "2" },
    runs: { type: "string", default: "3" },
    kinds: { type: "string", default: OVERLAP_KINDS.map(({ name }) => name).join(",") },
  },
});
const [modelBytes, rate, ranks, runs] = [Number(values.mib) * MIB, Number(values.rate), Number(values.ranks), Number(values.runs)];

interface LoadTimes {
  readonly timings: { readonly totalMs: number; readonly fetchMs: number; readonly loadMs: number; readonly aheadMs?: number };
  readonly copiedAhead: number;
}

const directory = mkdtempSync(join(tmpdir(), "rankcast-bench-overlap-"));
const origin = fork(fileURLToPath(new URL("./limited-origin.js", import.meta.url)), [directory, `${rate}`]);
try {
  const [port] = (await once(origin, "message")) as [number];
  const rows = [];
  for (const kind of OVERLAP_KINDS) {
    if (values.kinds.split(",").includes(kind.name)) rows.push(await measure(kind, `http://127.0.0.1:${port}`));
  }
  process.stdout.write(`${JSON.stringify({ bench: "overlap", mib: Number(values.mib), rate, ranks, runs, rows }, undefined, 1)}\n`);
} finally {
  origin.kill();
  rmSync(directory, { recursive: true, force: true });
}

async function measure({ name, dtype, adopt }: OverlapKind, url: string): Promise<object> {
  const file = `${dtype}.safetensors`;
  await writeCheckpoint(join(directory, file), dtype);
  const results = { download: [] as LoadTimes[], copy: [] as LoadTimes[], both: [] as LoadTimes[] };
  for (let run = 0; run < runs; run += 1) {
    const cacheDir = join(directory, "cache");
    results.download.push(await load(`${url}/${file}`, cacheDir, adopt));
    results.copy.push(await load(`${url}/${file}`, cacheDir, name));
    rmSync(cacheDir, { recursive: true, force: true });
    results.both.push(await load(`${url}/${file}`, cacheDir, name));
    rmSync(cacheDir, { recursive: true, force: true });
  }
  const [download, copy, both] = [results.download, results.copy, results.both].map((each) => median(each, ({ totalMs }) => totalMs));
  return {
    kind: name,
    downloadMs: download,
    copyMs: copy,
    bothMs: both,
    bothToLarger: ratio(both, Math.max(download ?? 0, copy ?? 0)),
    bothToSum: ratio(both, (download ?? 0) + (copy ?? 0)),
    fetchMs: median(results.both, ({ fetchMs }) => fetchMs),
    aheadMs: median(results.both, ({ aheadMs }) => aheadMs ?? 0),
    loadMs: median(results.both, ({ loadMs }) => loadMs),
    copiedAhead: results.both.map(({ copiedAhead }) => copiedAhead),
  };
}

async function load(url: string, cacheDir: string, kind: string): Promise<LoadTimes> {
  const job = randomUUID();
  const results = await Promise.all(
    Array.from({ length: ranks }, async (_, rank) => {
      const place = {
        RANK: `${rank}`,
        LOCAL_RANK: `${rank}`,
        WORLD_SIZE: `${ranks}`,
        LOCAL_WORLD_SIZE: `${ranks}`,
        TORCHELASTIC_RUN_ID: job,
      };
      const program = fileURLToPath(new URL("./overlap-rank.js", import.meta.url));
      const child = fork(program, [url, cacheDir, kind, values.mib], { env: { ...process.env, ...place } });
      const ended = once(child, "exit");
      const [result] = (await Promise.race([
        once(child, "message"),
        ended.then(([code]) => Promise.reject(new Error(`rank ${rank} ended with ${code}`))),
      ])) as [LoadTimes];
      await ended;
      return result;
    }),
  );
  return results[0] as LoadTimes;
}

/** Random bits: whatever they mean as numbers, they cost what they cost. */
async function writeCheckpoint(path: string, dtype: OverlapKind["dtype"]): Promise<void> {
  const count = modelBytes / 4 / OVERLAP_TENSORS;
  const stateDict = new StateDict();
  for (let index = 0; index < OVERLAP_TENSORS; index += 1) {
    const values32 = new Uint32Array(count);
    randomFillSync(values32);
    // Exponents of ordinary numbers.
    for (let at = 0; at < count; at += 1) values32[at] = ((values32[at] ?? 0) & 0xbf7f_ffff) | 0x3000_0000;
    const float = Tensor.from(new Float32Array(values32.buffer), [count / 1024, 1024]);
    stateDict.set(`p${index}`, dtype === "float32" ? float : castTensor(float, dtype));
  }
  await saveSafetensors(path, stateDict);
}

function median(results: readonly LoadTimes[], of: (timings: LoadTimes["timings"]) => number): number {
  const sorted = results.map(({ timings }) => of(timings)).sort((one, other) => one - other);
  return Math.round(sorted[Math.floor(sorted.length / 2)] ?? Number.NaN);
}

function ratio(one: number | undefined, other: number): number {
  return Math.round(((one ?? Number.NaN) / other) * 100) / 100;
}
