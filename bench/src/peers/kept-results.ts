/** What was found so far, beside what the file of results had from the same machine; written after every case. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { currentCommit, thisMachine } from "../load-results.js";
import type { PeersModeName } from "./peers-mode.js";
import {
  type ColdStart,
  caseOf,
  mergeGaps,
  mergeRows,
  type PeersCost,
  type PeersGap,
  type PeersResults,
  type PeersRow,
  peersTargets,
} from "./peers-results.js";
import { plotPeers } from "./plot-peers.js";
import type { TorchPython } from "./run-python.js";

const MIB = 2 ** 20;

/** Results of one run, joined to those of earlier ones. */
export class KeptResults {
  readonly #out: string | undefined;
  readonly #plot: string | undefined;
  readonly #old: PeersResults | null;
  readonly #python: PeersResults["python"];
  readonly #commit = currentCommit();
  readonly #fresh: PeersRow[] = [];
  readonly #gaps: PeersGap[] = [];
  #coldStart: ColdStart | null = null;

  /** `out`, `plot`: files; undefined writes none. */
  constructor(out: string | undefined, plot: string | undefined, python: TorchPython | null) {
    const machine = JSON.stringify(thisMachine());
    const old = out !== undefined && existsSync(out) ? (JSON.parse(readFileSync(out, "utf8")) as PeersResults) : null;
    this.#out = out;
    this.#plot = plot;
    this.#old = old !== null && JSON.stringify(old.machine) === machine ? old : null;
    this.#python =
      python === null
        ? (this.#old?.python ?? null)
        : { torch: python.torch, mmap: python.mmap, safetensors: python.safetensors, gloo: python.gloo };
  }

  /** How many ways have failed in this run. */
  get failures(): number {
    return this.#gaps.filter(({ failed }) => failed).length;
  }

  /** Keeps the best of the runs of one way, since on a shared machine only the best says what the code costs. Returns a line for people. */
  addBest(mode: PeersModeName, ranks: number, checkpointBytes: number, costs: readonly PeersCost[]): string {
    const best = costs.reduce((one, other) => (other.ms < one.ms ? other : one));
    this.#fresh.push({ mode, ranks, checkpointBytes, ...best, runs: costs.map(({ ms }) => ms), commit: this.#commit });
    const memory = (best.pssBytes / checkpointBytes).toFixed(2);
    return `${(checkpointBytes / MIB).toFixed(0)} MiB, ${ranks} ranks, ${mode}: ${best.ms.toFixed(0)} ms, ${memory} x the checkpoint`;
  }

  /** A way that was not measured. A row of an earlier run stays when it was only skipped, for want of memory or a Python; not when it failed. */
  addGap(gap: PeersGap): void {
    this.#gaps.push(gap);
  }

  /** Of this run; that of an earlier one stays when this run measures none. */
  setColdStart(coldStart: ColdStart): void {
    this.#coldStart = coldStart;
    this.write();
  }

  /** Everything, as the file has it. */
  results(): PeersResults {
    const failed = new Set(this.#gaps.filter((gap) => gap.failed).map(caseOf));
    const old = (this.#old?.rows ?? []).filter((row) => !failed.has(caseOf(row)));
    const rows = mergeRows(old, this.#fresh);
    const coldStart = this.#coldStart ?? this.#old?.coldStart ?? null;
    return {
      machine: thisMachine(),
      python: this.#python,
      rows,
      gaps: mergeGaps(this.#old?.gaps ?? [], this.#gaps, rows),
      coldStart,
      targets: peersTargets(rows, coldStart),
    };
  }

  /** Writes the file and the picture, where they were asked for. */
  write(): void {
    const results = this.results();
    if (this.#out !== undefined) writeText(this.#out, `${JSON.stringify(results, null, 2)}\n`);
    if (this.#plot !== undefined) writeText(this.#plot, plotPeers(results.rows));
  }
}

function writeText(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
