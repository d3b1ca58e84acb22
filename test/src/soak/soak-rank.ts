/**
 * One rank of a soak: thousands of updates, one in a hundred of them disturbed, everything looked at after each. Prints what it saw.
 * Arguments: updates, seed, minutes (0: as fast as they go).
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { BroadcastChannel } from "node:worker_threads";
import { CheckpointError, StateDict, Storage, Tensor } from "@rankcast/core";
import { joinGroup, type ReplicaPool } from "@rankcast/worker";
import { ELEMENTS } from "../scenario/replicas/wide-model.js";
import { COLLECT_MS, HEAPS_CHANNEL, type ThreadHeap } from "./soak-thread.js";

const [updates, seed, minutes] = process.argv.slice(2).map(Number) as [number, number, number];
/** Time per update, where they are to take a given time. */
const PACE_MS = (minutes * 60_000) / updates;
const FAULT_CHANCE = 0.01;
/** Until then code is compiled and every kind of fault has left what it leaves once. */
const WARM_SHARE = 1 / 3;
const SAMPLES = 40;
const FAULTS = ["names that nobody has", "a source without bytes", "a replica that ends", "a replica that writes"] as const;
type Fault = (typeof FAULTS)[number];

await using group = await joinGroup();
const pool = await group.createPool({
  replica: new URL("../scenario/replicas/wide-model.js", import.meta.url),
  replicas: 2,
  restart: "automatic",
  maxRestarts: updates,
});
let state = seed;
let held = 0;
const mixed: string[] = [];
const faults = new Map<Fault, number>();
/** What the process's own memory comes to, and of that what is live in the heaps of its threads. */
interface Sample {
  readonly minutes: number;
  readonly mib: number;
  readonly usedMib: number;
}

const samples: Sample[] = [];
const latencies: number[] = [];
const heaps = new Map<number, ThreadHeap & { readonly atMs: number }>();
const channel = new BroadcastChannel(HEAPS_CHANNEL);
channel.onmessage = (event) => {
  const heap = (event as { readonly data: ThreadHeap }).data;
  heaps.set(heap.threadId, { ...heap, atMs: performance.now() });
};
channel.unref();
const beginMs = performance.now();
const left = new Float32Array(ELEMENTS);
const right = new Float32Array(ELEMENTS);
await update("", 0, 1);
// Segments of two layouts are kept, two of each, by every source: all of them are there before anything is counted.
for (let src = 0; src < group.worldSize; src += 1) {
  for (const fault of ["names that nobody has", "", "names that nobody has", ""]) await update(fault, src, 1);
}
let before = countResources();

for (let turn = 2; turn <= updates; turn += 1) {
  // The same on every rank: what is disturbed where is part of the plan.
  const fault = chance() < FAULT_CHANCE ? FAULTS[Math.floor(chance() * FAULTS.length)] : undefined;
  const src = Math.floor(chance() * group.worldSize);
  const victim = Math.floor(chance() * group.worldSize);
  if (fault) faults.set(fault, (faults.get(fault) ?? 0) + 1);
  if (fault === "a replica that ends" && group.rank === victim) await pool.run("exit", 3, { replica: 1 }).catch(() => undefined);
  if (fault === "a replica that writes" && group.rank === victim) await pool.run("scribble", 0, { replica: 0 });
  const startMs = performance.now();
  await update(fault ?? "", src, turn);
  if (!fault) latencies.push(performance.now() - startMs);
  await look(pool, turn, fault === "a replica that ends");
  if (turn === Math.ceil(updates * WARM_SHARE)) {
    await settle();
    before = countResources();
  }
  if (turn > updates * WARM_SHARE && turn % Math.ceil(updates / SAMPLES) === 0) samples.push(sample());
  // One rank sets the pace; the others wait for it.
  if (group.rank === 0) await setTimeout(Math.max(0, beginMs + turn * PACE_MS - performance.now()));
}
await settle();
const after = countResources();
process.stdout.write(
  JSON.stringify({
    rank: group.rank,
    generation: group.generation,
    faults: [...faults],
    mixed: mixed.slice(0, 5),
    mibPerMinute: slopeOf(samples.map(({ minutes: x, mib: y }) => ({ x, y }))),
    usedMibPerMinute: slopeOf(samples.map(({ minutes: x, usedMib: y }) => ({ x, y }))),
    samples: samples.map(({ mib, usedMib }) => [Math.round(10 * mib) / 10, Math.round(10 * usedMib) / 10]),
    p99Ms: [latencies.slice(0, latencies.length / 3), latencies.slice(-latencies.length / 3)].map(p99Of),
    // Threads collect garbage when they like: what is never given back shows in the lows.
    grownMib: lowOf(samples.slice(-samples.length / 3)) - lowOf(samples.slice(0, samples.length / 3)),
    minutes: (performance.now() - beginMs) / 60_000,
    judgedMinutes: (samples.at(-1)?.minutes ?? 0) - (samples[0]?.minutes ?? 0),
    before,
    after,
  }),
);

async function update(fault: string, src: number, turn: number): Promise<void> {
  left.fill(turn);
  right.fill(turn);
  const prefix = fault === "names that nobody has" ? "wrong." : "";
  const noBytes = new Tensor({ dtype: "float32", shape: [ELEMENTS], storage: new Storage(null, 0, 4 * ELEMENTS) });
  const weights = new StateDict([
    [`${prefix}left`, fault === "a source without bytes" ? noBytes : Tensor.from(left, [ELEMENTS])],
    [`${prefix}right`, Tensor.from(right, [ELEMENTS])],
  ]);
  try {
    await pool.update(group.rank === src ? weights : null, { src });
    held = turn;
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
  }
}

/** Every replica shows the last update that passed, and nothing else. */
async function look(replicas: ReplicaPool<never>, turn: number, mayBeAway: boolean): Promise<void> {
  for (const replica of [0, 1]) {
    const values = (await replicas.run("distinctValues", undefined, { replica }).catch((error: unknown) => {
      // The update itself may have met the replica while it was away; it comes back with the weights of the others.
      if (mayBeAway) return replicas.run("distinctValues", undefined, { replica });
      throw error;
    })) as number[] | null;
    if (values?.length !== 1 || values[0] !== held) mixed.push(`update ${turn}: replica ${replica} shows ${values}, not ${held}`);
  }
}

/** What is held: descriptors, of them memory files, threads. */
function countResources(): { readonly descriptors: number; readonly memoryFiles: number; readonly threads: number } {
  const links = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return "";
    }
  });
  const threads = Number(/^Threads:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]);
  return { descriptors: links.length, memoryFiles: links.filter((link) => link.includes("memfd:rankcast")).length, threads };
}

/** Restarts that are under way come to their end, and every rank is here. */
async function settle(): Promise<void> {
  await pool.runAll("distinctValues");
  globalThis.gc?.();
  await group.barrier("settled");
}

/** Memory of this process alone, in MiB: pages of shared segments are counted by whoever maps them, until its next collection. */
function ownMib(): number {
  return Number(/^RssAnon:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) / 1024;
}

function sample(): Sample {
  const nowMs = performance.now();
  // A thread that ended tells nothing any more.
  const live = [...heaps.values()].filter(({ atMs }) => nowMs - atMs < 4 * COLLECT_MS);
  const usedBytes = live.reduce((sum, heap) => sum + heap.usedBytes, 0);
  return { minutes: (nowMs - beginMs) / 60_000, mib: ownMib(), usedMib: usedBytes / 2 ** 20 };
}

function p99Of(times: readonly number[]): number {
  return [...times].sort((a, b) => a - b)[Math.floor(0.99 * times.length)] ?? Number.NaN;
}

function lowOf(points: readonly { readonly mib: number }[]): number {
  return Math.min(...points.map(({ mib }) => mib));
}

function chance(): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return state / 2 ** 32;
}

function slopeOf(points: readonly { readonly x: number; readonly y: number }[]): number {
  const mean = (of: (point: { x: number; y: number }) => number): number =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const [middle, level] = [mean(({ x }) => x), mean(({ y }) => y)];
  const over = points.reduce((sum, { x }) => sum + (x - middle) ** 2, 0);
  return points.reduce((sum, { x, y }) => sum + (x - middle) * (y - level), 0) / over;
}
