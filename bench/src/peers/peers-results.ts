/** What the comparison found: rows, ratios, targets, and a table for people. */
import type { BenchMachine, LoadTarget } from "../load-results.js";
import { PEERS_MODES, type PeersModeName } from "./peers-mode.js";
import type { PythonFeatures } from "./run-python.js";

/** What one run cost. */
export interface PeersCost {
  /** From "all ranks ready" to "all ranks loaded". */
  readonly ms: number;
  /** Growth of the proportional memory of all processes together. */
  readonly pssBytes: number;
  /** Largest resident size of one rank. */
  readonly peakRssBytes: number;
  /** Sum of one element per page; null where it is out of reach. */
  readonly touched: number | null;
}

/** The best of several runs of one way. */
export interface PeersRow extends PeersCost {
  readonly mode: PeersModeName;
  readonly ranks: number;
  readonly checkpointBytes: number;
  /** `ms` of every run, in order. */
  readonly runs: readonly number[];
}

/** Times of `rankcast load` of a small model by one rank, from the start of the process. */
export interface ColdStart {
  readonly checkpointBytes: number;
  /** Until the report was printed: everything is loaded. */
  readonly ms: number;
  readonly runs: readonly number[];
}

/** A whole comparison. */
export interface PeersResults {
  readonly machine: BenchMachine;
  readonly commit: string;
  /** Null when no Python with torch was found. */
  readonly python: PythonFeatures | null;
  readonly rows: readonly PeersRow[];
  readonly coldStart: ColdStart | null;
  readonly targets: readonly LoadTarget[];
}

const MIB = 2 ** 20;
const TARGET_BYTES = 2 ** 30;
const TARGET_RANKS = 4;
const COLD_START_MS_MAX = 400;

/** Rows of `old` that `fresh` does not replace, and `fresh`, in the order of tables. */
export function mergeRows(old: readonly PeersRow[], fresh: readonly PeersRow[]): PeersRow[] {
  const order = PEERS_MODES.map(({ name }) => name);
  const byKey = new Map([...old, ...fresh].map((row) => [`${sizeOf(row)} ${row.ranks} ${row.mode}`, row]));
  return [...byKey.values()].sort((a, b) => sizeOf(a) - sizeOf(b) || a.ranks - b.ranks || order.indexOf(a.mode) - order.indexOf(b.mode));
}

/** Ratios that the project wants to keep, of 1 GiB at 4 ranks, as far as the rows have them. */
export function peersTargets(rows: readonly PeersRow[], coldStart: ColdStart | null): LoadTarget[] {
  const measured = rows.filter((row) => row.ranks === TARGET_RANKS && Math.round(row.checkpointBytes / TARGET_BYTES) === 1);
  const find = (mode: PeersModeName): PeersRow | undefined => measured.find((row) => row.mode === mode);
  const time = (name: string, of: PeersModeName, to: PeersModeName, atMost: number): LoadTarget[] => {
    const [one, other] = [find(of), find(to)];
    return one && other ? [{ name, ratio: one.ms / other.ms, atMost }] : [];
  };
  const memory = rows.filter(
    ({ mode, checkpointBytes }) => mode.startsWith("rankcast-") && mode !== "rankcast-copy" && checkpointBytes > TARGET_BYTES / 2,
  );
  return [
    ...time("adopted, to torch mmap + assign", "rankcast-adopt", "torch-mmap", 0.6),
    ...time("adopted, to torch.load + broadcast", "rankcast-adopt", "torch-broadcast", 1 / 15),
    ...time("adopted, to torch.load on every rank", "rankcast-adopt", "torch-each", 1 / 30),
    ...time("first load with CRC, to torch mmap + assign", "rankcast-first", "torch-mmap", 4),
    ...time("copied, to one memcpy into fresh memory per rank", "rankcast-copy", "memcpy", 1.2),
    ...(memory.length === 0
      ? []
      : [
          {
            name: "memory in all, to the checkpoint",
            ratio: Math.max(...memory.map((row) => row.pssBytes / row.checkpointBytes)),
            atMost: 1.05,
          },
        ]),
    ...(coldStart ? [{ name: "cold start of rankcast load, to 400 ms", ratio: coldStart.ms / COLD_START_MS_MAX, atMost: 1 }] : []),
  ];
}

/** One line per way and number of ranks of one size, times beside memory, as a Markdown table. */
export function renderPeersTable(rows: readonly PeersRow[], checkpointMib: number): string {
  const shown = rows.filter((row) => sizeOf(row) === checkpointMib);
  const ranks = [...new Set(shown.map((row) => row.ranks))].sort((a, b) => a - b);
  const most = ranks.at(-1) ?? 0;
  const lines = PEERS_MODES.flatMap(({ name, label }) => {
    const cells = ranks.map((count) => shown.find((row) => row.mode === name && row.ranks === count));
    if (cells.every((row) => row === undefined)) return [];
    const widest = cells.findLast((row) => row !== undefined);
    const memory = widest ? `${(widest.pssBytes / widest.checkpointBytes).toFixed(2)} (${widest.ranks})` : "";
    return [[label, ...cells.map((row) => row?.ms.toFixed(0) ?? "–"), memory]];
  });
  const head = [
    `${checkpointMib} MiB, ms at`,
    ...ranks.map((count) => `${count} rank${count === 1 ? "" : "s"}`),
    "memory / checkpoint (ranks)",
  ];
  const rule = ["---", ...ranks.map(() => "--:"), "--:"];
  return most === 0 ? "" : [head, rule, ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** Size of a row's checkpoint in MiB, as flags have it. */
export function sizeOf({ checkpointBytes }: PeersRow): number {
  return Math.round(checkpointBytes / MIB);
}
