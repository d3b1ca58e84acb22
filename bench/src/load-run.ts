/** One measured load: rankcast's, or the plain way. */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** What to load and into how many models. */
export interface LoadCase {
  readonly ranks: number;
  readonly replicas: number;
}

/** What a load cost. */
export interface LoadCost {
  /** From "every replica is built" to "every rank was released". */
  readonly ms: number;
  /** From the start of the command to its end, processes included; null for the plain way. */
  readonly commandMs: number | null;
  /** Bytes brought into memory by copying. */
  readonly copiedBytes: number;
  /** Proportional memory of all processes together, after less before. */
  readonly pssBytes: number;
  /** Largest resident size of one rank. */
  readonly peakRssBytes: number;
}

interface Report {
  readonly segments: readonly { readonly kind: string; readonly bytes: number }[];
  readonly timings: { readonly totalMs: number };
  readonly memory: { readonly pssBytes: number | null; readonly peakRssBytes: Readonly<Record<string, number>> };
}

const RANKCAST = fileURLToPath(new URL("../../packages/cli/bin/rankcast.js", import.meta.url));
const PLAIN_RANK = fileURLToPath(new URL("./plain-rank.js", import.meta.url));

/**
 * Runs `rankcast load --prefault`: what is measured includes the first touch of every page by every replica.
 * @throws {Error} what the command said when it failed.
 */
export async function loadWithRankcast(weights: string, { ranks, replicas }: LoadCase, cacheHome: string): Promise<LoadCost> {
  const counts = ["--nproc-per-node", `${ranks}`, "--replicas-per-rank", `${replicas}`];
  const begin = performance.now();
  const child = spawn(process.execPath, [RANKCAST, "load", weights, ...counts, "--prefault", "--json"], {
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"], RANKCAST_HOME: cacheHome },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)];
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`rankcast load ended with ${code}: ${stderr()}`);
  const commandMs = performance.now() - begin;
  const { segments, timings, memory } = JSON.parse(stdout()) as Report;
  const copied = segments.filter(({ kind }) => kind !== "file").reduce((sum, { bytes }) => sum + bytes, 0);
  return {
    ms: timings.totalMs,
    commandMs,
    copiedBytes: copied,
    pssBytes: memory.pssBytes ?? Number.NaN,
    peakRssBytes: Math.max(...Object.values(memory.peakRssBytes)),
  };
}

/** Runs the plain way on a local file; `extents` are the tensors' bytes in it. */
export function loadPlainly(path: string, { ranks, replicas }: LoadCase, extents: readonly string[]): Promise<LoadCost> {
  return runTogether(PLAIN_RANK, ranks, [path, `${replicas}`, ...extents]);
}

/**
 * Runs `ranks` processes of a program that says "ready", waits for "go" and says what it cost (`plain-rank.ts`).
 * @throws {Error} when one of them ends before it has said so.
 */
export async function runTogether(program: string, ranks: number, args: readonly string[]): Promise<LoadCost> {
  const children = Array.from({ length: ranks }, () => fork(program, [...args]));
  const stop = new AbortController();
  try {
    return await measureTogether(children, stop);
  } finally {
    stop.abort();
    for (const child of children) child.kill("SIGKILL");
  }
}

async function measureTogether(children: readonly ChildProcess[], stop: AbortController): Promise<LoadCost> {
  for (const child of children) child.once("exit", (code, signal) => stop.abort(new Error(`a rank ended with ${signal ?? code}`)));
  const said = async <Message>(child: ChildProcess): Promise<Message> => {
    try {
      return ((await once(child, "message", { signal: stop.signal })) as [Message])[0];
    } catch {
      throw stop.signal.reason;
    }
  };
  await Promise.all(children.map(said));
  const begin = performance.now();
  const costs = children.map(async (child) => {
    const { copied } = await said<{ copied: number }>(child);
    const ms = performance.now() - begin;
    return { copied, ms, ...(await said<{ pssBytes: number; peakRssBytes: number }>(child)) };
  });
  for (const child of children) child.send("go");
  const done = await Promise.all(costs);
  await Promise.all(children.map(end));
  return {
    ms: Math.max(...done.map(({ ms }) => ms)),
    commandMs: null,
    copiedBytes: done.reduce((sum, { copied }) => sum + copied, 0),
    pssBytes: done.reduce((sum, { pssBytes }) => sum + pssBytes, 0),
    peakRssBytes: Math.max(...done.map(({ peakRssBytes }) => peakRssBytes)),
  };
}

async function end(child: ChildProcess): Promise<void> {
  const over = once(child, "exit");
  child.send("end");
  await over;
}

function collect(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => void chunks.push(chunk));
  return () => Buffer.concat(chunks).toString("utf8");
}
