/** The runs of one pickle that are known again. Models repeat their layers, and a layer has a few shapes. */
import type { MemoReads } from "./memo-reads.ts";
import type { PickleMachine } from "./pickle-machine.ts";
import { PlainRun, type RunGaps } from "./plain-run.ts";

/** So many are kept; the oldest gives way. */
const RUNS_MAX = 16;
/** From so many new ones on it must be seen that they come again. */
const NEW_RUNS_MIN = 64;

/** See the module. */
export class PlainRuns {
  private readonly capacity: number;
  private readonly runs: PlainRun[] = [];
  /** The one that was met last. */
  private last = 0;
  private made = 0;
  private matched = 0;
  /** State of the memo for which the runs are. */
  private changes = -1;
  /** The key in the run that was matched last. */
  key = -1;

  /** `capacity`: the most bytes a run can have. */
  constructor(capacity: number) {
    this.capacity = capacity;
  }

  /** The run that is at the cursor of `m`, of which so many bytes are in reach; null when it is none of these. */
  match({ bytes, at, memo }: PickleMachine, reads: MemoReads): PlainRun | null {
    const { runs } = this;
    // What a run fetches from the memo is not what it was.
    if (memo.changes !== this.changes) {
      this.changes = memo.changes;
      runs.length = 0;
    }
    for (let tried = 0; tried < runs.length; tried += 1) {
      const index = (this.last + tried) % runs.length;
      const run = runs[index] as PlainRun;
      this.key = run.keyAmong(bytes, at, reads, memo.count);
      if (this.key < 0) continue;
      this.last = index;
      this.matched += 1;
      return run;
    }
    return null;
  }

  /** Keeps the run from the cursor of `m` to `end`; not when new ones hardly ever come again. */
  keep({ bytes, at }: PickleMachine, end: number, gaps: RunGaps, { tensor, storage }: Pick<PlainRun, "tensor" | "storage">): void {
    if (this.made > NEW_RUNS_MIN && this.matched < this.made) return;
    const index = Math.min(this.made % RUNS_MAX, this.runs.length);
    this.made += 1;
    const run = this.runs[index] ?? new PlainRun(this.capacity, tensor, storage);
    run.tensor = tensor;
    run.storage = storage;
    run.record(bytes, at, end, gaps);
    this.runs[index] = run;
    this.last = index;
  }
}
