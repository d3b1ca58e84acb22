/** What the comparison found: rows, what is missing, ratios and targets. */
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

/** One way at one size and number of ranks. */
export interface PeersCase {
  readonly mode: PeersModeName;
  readonly ranks: number;
  readonly checkpointBytes: number;
}

/** The best of several runs of one way. */
export interface PeersRow extends PeersCase, PeersCost {
  /** `ms` of every run, in order. */
  readonly runs: readonly number[];
  /** What was measured. */
  readonly commit: string;
}

/** What was asked for and not measured. */
export interface PeersGap extends PeersCase {
  /** False: it could not be tried here. */
  readonly failed: boolean;
  readonly why: string;
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
  /** Null when no Python with torch was found. */
  readonly python: PythonFeatures | null;
  readonly rows: readonly PeersRow[];
  readonly gaps: readonly PeersGap[];
  readonly coldStart: ColdStart | null;
  readonly targets: readonly LoadTarget[];
}

const MIB = 2 ** 20;
const TARGET_BYTES = 2 ** 30;
const TARGET_RANKS = 4;
const COLD_START_MS_MAX = 400;

/** Rows of `old` that `fresh` does not replace, and `fresh`, in the order of tables. */
export function mergeRows(old: readonly PeersRow[], fresh: readonly PeersRow[]): PeersRow[] {
  return inOrder([...old, ...fresh]);
}

/** Gaps that no row fills, the newest of each case, in the order of tables. */
export function mergeGaps(old: readonly PeersGap[], fresh: readonly PeersGap[], rows: readonly PeersRow[]): PeersGap[] {
  const measured = new Set(rows.map(caseOf));
  return inOrder([...old, ...fresh].filter((gap) => !measured.has(caseOf(gap))));
}

/** The same for rows and gaps of one way, size and number of ranks. */
export function caseOf(one: PeersCase): string {
  return `${sizeOf(one)} ${one.ranks} ${one.mode}`;
}

/** The last of each case. */
function inOrder<Case extends PeersCase>(cases: readonly Case[]): Case[] {
  const order = PEERS_MODES.map(({ name }) => name);
  const byCase = new Map(cases.map((one) => [caseOf(one), one]));
  return [...byCase.values()].sort((a, b) => sizeOf(a) - sizeOf(b) || a.ranks - b.ranks || order.indexOf(a.mode) - order.indexOf(b.mode));
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

/** Size of a case's checkpoint in MiB, as flags have it. */
export function sizeOf({ checkpointBytes }: Pick<PeersCase, "checkpointBytes">): number {
  return Math.round(checkpointBytes / MIB);
}
