/** The memo of a pickle: slot number to value. Slots are the writer's, so only a run from 0 on is an array; the rest is a Map. */
import { TreeList, type TreeValue } from "../manifest/checkpoint-tree.ts";
import type { PickleCall } from "./known-global.ts";
import type { MemoReads } from "./memo-reads.ts";
import { NumberKeyGuard } from "./number-keys.ts";

/** Python 2's C pickler starts at slot 1; anything further than this from the end of the run goes to the Map. */
const GAP_MAX = 8;
const SPARSE_SLOT_BYTES = 64;
/** Slots of the run are counted in blocks: a byte of the file can fill one. */
const BLOCK_SLOTS = 4096;
const SLOT_BYTES = 8;
/** Arrays grow by half, and the old one is there until the new one is filled. */
const BLOCK_BYTES = BLOCK_SLOTS * 20;

/** See the module. */
export class PickleMemo {
  private readonly run: (TreeValue | undefined)[];
  private readonly reads: MemoReads | null;
  private sparse: Map<number, TreeValue> | null = null;
  private guard: NumberKeyGuard | null = null;
  private readonly call: PickleCall;
  /** Slots in use; MEMOIZE's next slot. */
  count = 0;
  /** How often a slot was given another value, where it is known which slots are read. */
  changes = 0;
  /** Heap of the slots. */
  chargedBytes = 0;

  /** Values of slots that are not among `reads` are not kept. */
  constructor(call: PickleCall, reads: MemoReads | null) {
    this.call = call;
    this.reads = reads;
    if (reads !== null) this.charge(SLOT_BYTES * reads.end);
    this.run = new Array<TreeValue | undefined>(reads?.end ?? 0).fill(undefined);
  }

  /** @throws {FormatError} RANKCAST_PICKLE_MEMO for a slot that was never set. */
  get(slot: number): TreeValue {
    const value = this.peek(slot);
    if (value === undefined) throw this.call.refuse("RANKCAST_PICKLE_MEMO", `memo slot ${slot} was never set`, { slot });
    return value;
  }

  /** The value of a slot, undefined when it was never set. */
  peek(slot: number): TreeValue | undefined {
    return slot < this.run.length ? this.run[slot] : this.sparse?.get(slot);
  }

  set(slot: number, value: TreeValue): void {
    const { run, reads } = this;
    if (reads !== null) {
      this.count += 1;
      if (reads.has(slot)) {
        if (this.peek(slot) !== undefined) this.changes += 1;
        this.keep(slot, value);
      }
      return;
    }
    if (slot === run.length && this.sparse === null) {
      if (slot % BLOCK_SLOTS === BLOCK_SLOTS - 1) this.charge(BLOCK_BYTES);
      if (value instanceof TreeList) value.kept = true;
      run.push(value);
      this.count += 1;
      return;
    }
    if (this.peek(slot) === undefined) this.count += 1;
    if (slot < run.length) this.keep(slot, value);
    else if (this.sparse === null && slot <= run.length + GAP_MAX) {
      while (run.length < slot) run.push(undefined);
      run.push(undefined);
      this.keep(slot, value);
    } else this.setSparse(slot, value);
  }

  private charge(nbytes: number): void {
    this.chargedBytes += nbytes;
    this.call.charge(nbytes);
  }

  private keep(slot: number, value: TreeValue): void {
    if (value instanceof TreeList) value.kept = true;
    this.run[slot] = value;
  }

  private setSparse(slot: number, value: TreeValue): void {
    this.sparse ??= new Map();
    this.guard ??= new NumberKeyGuard(this.call);
    if (!this.sparse.has(slot)) {
      this.charge(SPARSE_SLOT_BYTES);
      this.guard.add(slot);
    }
    if (value instanceof TreeList) value.kept = true;
    this.sparse.set(slot, value);
  }
}
