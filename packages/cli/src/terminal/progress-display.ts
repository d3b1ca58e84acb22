/**
 * Live progress on stderr: one line per phase and one for the ranks, redrawn at most ten times a second on a terminal; elsewhere one plain
 * line per phase and every ten seconds. stdout belongs to results.
 */
import { styleText } from "node:util";
import type { CoordinatorEvent } from "@rankcast/coordinator/launcher";
import { describeRefusals } from "./describe-refusals.ts";
import { formatBytes, formatMs } from "./format-bytes.ts";

/** Where to draw. */
export interface ProgressSink {
  readonly redraw: boolean;
  readonly colour: boolean;
  readonly columns: number;
  write(text: string): void;
  now(): number;
}

const REDRAW_MS = 100;
const PLAIN_MS = 10_000;

/** Takes coordinator events, draws. */
export class ProgressDisplay {
  readonly #sink: ProgressSink;
  readonly #ranks = new Map<number, string>();
  readonly #startMs: number;
  #phase = "";
  #bytes = 0;
  #total: number | null = null;
  #phaseStartMs: number;
  #lastDrawMs = Number.NEGATIVE_INFINITY;
  #linesDrawn = 0;
  #finished = false;

  constructor(sink: ProgressSink) {
    this.#sink = sink;
    this.#startMs = sink.now();
    this.#phaseStartMs = this.#startMs;
  }

  /** Shows one event. */
  show(event: CoordinatorEvent): void {
    // Work that is being cancelled still says what it does; nothing may follow a report or an error.
    if (this.#finished) return;
    if (event.type === "refused") {
      this.#erase();
      this.#sink.write(`${describeRefusals(event)}\n`);
      return;
    }
    if (event.type === "phase") this.#startPhase(event.phase);
    else if (event.type === "bytes") {
      this.#bytes = event.bytes;
      this.#total = event.totalBytes;
    } else if (event.type === "rank") this.#ranks.set(event.rank, event.phase);
    else return;
    this.#draw(event.type === "phase");
  }

  /** Removes the live lines, so that what follows starts on a clean line. Later events are not shown. */
  finish(): void {
    this.#finished = true;
    this.#erase();
  }

  #startPhase(phase: string): void {
    this.#phase = phase;
    this.#bytes = 0;
    this.#total = null;
    this.#phaseStartMs = this.#sink.now();
  }

  #draw(phaseChanged: boolean): void {
    const now = this.#sink.now();
    const due = now - this.#lastDrawMs >= (this.#sink.redraw ? REDRAW_MS : PLAIN_MS);
    // Off a terminal there is nothing to say about ranks before the first phase.
    if ((!due && !phaseChanged) || (!this.#sink.redraw && this.#phase === "")) return;
    this.#lastDrawMs = now;
    if (!this.#sink.redraw) {
      this.#sink.write(`${this.#phaseLine(now)}\n`);
      return;
    }
    this.#erase();
    const lines = [this.#phaseLine(now), ...this.#rankLines()].map((line) => line.slice(0, this.#sink.columns - 1));
    this.#sink.write(`${lines.map((line, index) => (index === 0 ? line : this.#dim(line))).join("\n")}\n`);
    this.#linesDrawn = lines.length;
  }

  #phaseLine(now: number): string {
    const parts = [`[${formatMs(now - this.#startMs)}] ${this.#phase}`];
    if (this.#bytes > 0) {
      const seconds = Math.max((now - this.#phaseStartMs) / 1000, 0.001);
      const rate = this.#bytes / seconds;
      parts.push(
        this.#total ? `${formatBytes(this.#bytes)} of ${formatBytes(this.#total)}` : formatBytes(this.#bytes),
        `${formatBytes(rate)}/s`,
      );
      if (this.#total && rate > 0) parts.push(`${formatMs(((this.#total - this.#bytes) / rate) * 1000)} left`);
    }
    return parts.join("  ");
  }

  /** Ranks grouped by what they do: thousands of ranks stay a few lines. */
  #rankLines(): string[] {
    const byPhase = new Map<string, number[]>();
    for (const [rank, phase] of this.#ranks) byPhase.set(phase, [...(byPhase.get(phase) ?? []), rank]);
    return [...byPhase].map(
      ([phase, ranks]) => `  ${ranks.length} ${ranks.length === 1 ? "rank" : "ranks"} ${phase} (${listRanks(ranks)})`,
    );
  }

  #erase(): void {
    if (this.#linesDrawn > 0) this.#sink.write(`\x1b[${this.#linesDrawn}A\x1b[J`);
    this.#linesDrawn = 0;
  }

  #dim(text: string): string {
    return this.#sink.colour ? styleText("dim", text, { validateStream: false }) : text;
  }
}

/** `0-3,7`. */
function listRanks(ranks: readonly number[]): string {
  const sorted = [...ranks].sort((a, b) => a - b);
  const runs: [number, number][] = [];
  for (const rank of sorted) {
    const last = runs.at(-1);
    if (last && rank === last[1] + 1) last[1] = rank;
    else runs.push([rank, rank]);
  }
  return runs.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}
