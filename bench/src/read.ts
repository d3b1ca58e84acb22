/**
 * Speed of reading: metadata of many tensors (in fresh processes, and warm), and verified bytes of large ones against plain reading plus
 * checksum on the same cores. Prints JSON: `node bench/dist/read.js [MiB of large tensors]`.
 */
import { execFile } from "node:child_process";
import { closeSync, openSync, readSync } from "node:fs";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { crc32 } from "node:zlib";
import { DEFAULT_LIMITS, StateDict, Storage, saveSafetensors, saveTorch, Tensor } from "@rankcast/core";
import {
  buildManifest,
  type CheckpointTree,
  openLocal,
  readCheckpoint,
  type StateDictManifest,
  transferStorages,
} from "@rankcast/core/internal";

const MIB = 2 ** 20;
const RUNS = 5;
const COLD_RUNS = 9;
const limits = DEFAULT_LIMITS;
const largeMib = Number(process.argv[2] ?? 1024);

interface ReadFigure {
  readonly name: string;
  readonly fileBytes: number;
  /** In fresh processes, best and middle of several; `coldThreadMs` is the main thread's share, which a busy machine distorts less. */
  readonly coldMs?: number;
  readonly coldMedianMs?: number;
  readonly coldThreadMs?: number | null;
  /** In this process: the first and the best of several. */
  readonly firstMs: number;
  readonly bestMs: number;
  /** Time of the same work done plainly, divided by ours. */
  readonly ofPlain?: number;
}

function manyTensors(count: number, elements: number): StateDict {
  const stateDict = new StateDict();
  for (let index = 0; index < count; index += 1) {
    stateDict.set(`model.layers.${index}.attention.weight`, Tensor.from(new Float32Array(elements).fill(index), [elements]));
  }
  return stateDict;
}

async function timed(runs: number, work: () => Promise<void>): Promise<{ firstMs: number; bestMs: number }> {
  const times: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    const begin = performance.now();
    await work();
    times.push(performance.now() - begin);
  }
  return { firstMs: Math.round(times[0] ?? 0), bestMs: Math.round(Math.min(...times)) };
}

async function opened(path: string, use: (tree: CheckpointTree, manifest: StateDictManifest) => Promise<void>): Promise<void> {
  const resolved = await openLocal(path);
  try {
    const tree = await readCheckpoint(resolved, { limits });
    await use(tree, buildManifest(tree, { limits, stateDict: true }));
  } finally {
    await resolved.close();
  }
}

const execute = promisify(execFile);

/** Metadata in processes that have compiled nothing yet. */
async function coldTimes(path: string): Promise<Pick<ReadFigure, "coldMs" | "coldMedianMs" | "coldThreadMs">> {
  const runs: { readonly wallMs: number; readonly cpuMs: number | null }[] = [];
  for (let run = 0; run < COLD_RUNS; run += 1) {
    const { stdout } = await execute(process.execPath, [fileURLToPath(new URL("./read-cold.js", import.meta.url)), path]);
    runs.push(JSON.parse(stdout));
  }
  runs.sort((a, b) => a.wallMs - b.wallMs);
  const threads = runs.flatMap(({ cpuMs }) => (cpuMs === null ? [] : [cpuMs]));
  return {
    coldMs: Math.round(runs[0]?.wallMs ?? 0),
    coldMedianMs: Math.round(runs[COLD_RUNS >> 1]?.wallMs ?? 0),
    coldThreadMs: threads.length === 0 ? null : Math.round(Math.min(...threads)),
  };
}

async function metadataFigure(name: string, path: string): Promise<ReadFigure> {
  const cold = await coldTimes(path);
  const times = await timed(RUNS, () => opened(path, async () => undefined));
  return { name, fileBytes: (await stat(path)).size, ...cold, ...times };
}

/** Plain reading and checksum, one after the other, as a shell would do it with `cat` and a checksum tool. */
async function plainMs(path: string): Promise<number> {
  const portion = Buffer.alloc(4 * MIB);
  const pass = async (look: (bytes: Buffer) => void): Promise<void> => {
    const fd = openSync(path, "r");
    for (let read = readSync(fd, portion); read > 0; read = readSync(fd, portion)) look(portion.subarray(0, read));
    closeSync(fd);
  };
  const reading = await timed(RUNS, () => pass(() => undefined));
  let sum = 0;
  const whole = await readFile(path);
  const summing = await timed(RUNS, async () => {
    sum = crc32(whole, sum);
  });
  return reading.bestMs + summing.bestMs;
}

async function verifiedFigure(name: string, path: string): Promise<ReadFigure> {
  const plain = await plainMs(path);
  let memory: Storage[] = [];
  const times = await timed(RUNS, () =>
    opened(path, async (tree, manifest) => {
      // The same memory each time: fresh pages cost more than reading.
      if (memory.length === 0) memory = manifest.storages.map(({ nbytes }) => Storage.allocate(nbytes, { shared: true }));
      const reads = manifest.storages.map((storage, index) => ({ storage, target: memory[index] ?? Storage.allocate(storage.nbytes) }));
      await transferStorages(reads, tree.sources, { limits, verify: true });
    }),
  );
  return { name, fileBytes: (await stat(path)).size, ...times, ofPlain: Math.round((100 * plain) / times.bestMs) / 100 };
}

const directory = await mkdtemp(join(tmpdir(), "rankcast-bench-"));
try {
  const at = (name: string): string => join(directory, name);
  await saveTorch(at("10k.pt"), manyTensors(10_000, 1024));
  await saveTorch(at("100k.pt"), manyTensors(100_000, 100));
  await saveSafetensors(at("100k.safetensors"), manyTensors(100_000, 100));
  await saveTorch(at("large.pt"), manyTensors(Math.ceil(largeMib / 16), 4 * MIB));
  const figures = [
    await metadataFigure("metadata, torch, 10 000 tensors of 4 KiB", at("10k.pt")),
    await metadataFigure("metadata, torch, 100 000 tensors of 400 bytes", at("100k.pt")),
    await metadataFigure("metadata, safetensors, 100 000 tensors", at("100k.safetensors")),
    await verifiedFigure("verified bytes, torch, 10 000 tensors of 4 KiB", at("10k.pt")),
    await verifiedFigure(`verified bytes, torch, ${largeMib} MiB in tensors of 16 MiB`, at("large.pt")),
  ];
  process.stdout.write(`${JSON.stringify({ bench: "read", node: process.version, figures }, undefined, 1)}\n`);
} finally {
  await rm(directory, { recursive: true, force: true });
}
