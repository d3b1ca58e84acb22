/** What a bench run found, as a file that says where it came from and as a table for people. */
import { execFileSync } from "node:child_process";
import { arch, cpus, release, totalmem, type } from "node:os";
import type { LoadCase, LoadCost } from "./load-run.js";

/** The best of several runs of one case. */
export interface LoadRow extends LoadCase, LoadCost {
  /** `cold`: empty cache, over HTTP. `cached`: a second run. `plain`: every rank reads and copies for itself. */
  readonly how: "cold" | "cached" | "plain";
  readonly checkpointBytes: number;
  /** `ms` of every run, in order. */
  readonly runs: readonly number[];
}

/** Where figures come from. */
export interface BenchMachine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly system: string;
  readonly node: string;
}

/** A whole run of the bench. */
export interface LoadResults {
  readonly machine: BenchMachine;
  readonly commit: string;
  readonly rows: readonly LoadRow[];
  /** Ratios that the project has promised to keep, with their bounds; for the biggest checkpoint of the run. */
  readonly targets: readonly LoadTarget[];
}

/** One promise. */
export interface LoadTarget {
  readonly name: string;
  readonly ratio: number;
  readonly atMost: number;
}

const TIME_RATIO_MAX = 1.3;
const MEMORY_RATIO_MAX = 1.15;
const MIB = 2 ** 20;

/** Adds machine, commit and targets to rows. */
export function completeResults(rows: readonly LoadRow[]): LoadResults {
  return { machine: thisMachine(), commit: currentCommit(), rows, targets: targetsOf(rows) };
}

/** This machine, without its name. */
export function thisMachine(): BenchMachine {
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memoryBytes: totalmem(),
    system: `${type()} ${release().split("-")[0]} ${arch()}`,
    node: process.versions.node,
  };
}

/** Cached, 4 ranks of 2 replicas against 1 of 1: neither time nor memory may grow with the number of models. */
export function targetsOf(rows: readonly LoadRow[]): LoadTarget[] {
  const biggest = Math.max(...rows.map(({ checkpointBytes }) => checkpointBytes));
  const find = (ranks: number, replicas: number): LoadRow | undefined =>
    rows.find((row) => row.how === "cached" && row.checkpointBytes === biggest && row.ranks === ranks && row.replicas === replicas);
  const [one, eight] = [find(1, 1), find(4, 2)];
  if (!one || !eight) return [];
  return [
    { name: "time of 4 x 2 to 1 x 1, cached", ratio: eight.ms / one.ms, atMost: TIME_RATIO_MAX },
    { name: "memory of 4 x 2 to 1 x 1, cached", ratio: eight.pssBytes / one.pssBytes, atMost: MEMORY_RATIO_MAX },
  ];
}

/** One line per checkpoint, ranks and replicas, as a Markdown table; `plain / cached` is how many times longer the plain way takes. */
export function renderTable(rows: readonly LoadRow[]): string {
  const cases = new Map<string, Map<LoadRow["how"], LoadRow>>();
  for (const row of rows) {
    const key = `${mib(row.checkpointBytes)} MiB | ${row.ranks} x ${row.replicas}`;
    const ways = cases.get(key) ?? new Map<LoadRow["how"], LoadRow>();
    cases.set(key, ways.set(row.how, row));
  }
  const lines = [...cases].map(([key, ways]) => {
    const [cold, cached, plain] = (["cold", "cached", "plain"] as const).map((how) => ways.get(how));
    const times = [cold, cached, plain].map((row) => row?.ms.toFixed(0) ?? "");
    const ratio = cached && plain ? (plain.ms / cached.ms).toFixed(1) : "";
    const copied = [cached, plain].map((row) => (row ? mib(row.copiedBytes) : ""));
    const memory = [cached, plain].map((row) => (row ? mib(row.pssBytes) : ""));
    const peak = [cached, plain].map((row) => (row ? mib(row.peakRssBytes) : ""));
    return [key, ...times, ratio, copied.join(" / "), memory.join(" / "), peak.join(" / ")];
  });
  const head = ["checkpoint | ranks x replicas", "cold ms", "cached ms", "plain ms", "plain / cached"];
  const pairs = ["copied MiB (cached / plain)", "memory in all MiB", "peak of a rank MiB"];
  const rule = Array.from({ length: 9 }, (_, column) => (column < 2 ? "---" : "--:"));
  return [[...head, ...pairs], rule, ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

function mib(bytes: number): string {
  return (bytes / MIB).toFixed(0);
}

/** Short name of the commit that is measured; "unknown" outside a repository. */
export function currentCommit(): string {
  try {
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return "unknown";
  }
}
