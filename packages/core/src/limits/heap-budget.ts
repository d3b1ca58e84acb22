/**
 * What the decoded values of one checkpoint may take of the heap. One budget serves all files of a checkpoint and everything nested in them: with one
 * each, a thousand small files could take a thousand times the floor.
 */
import { FormatError } from "../errors/checkpoint-error.ts";
import { printable } from "../errors/quote.ts";
import type { LimitName, Limits } from "./limits.ts";

/** What a budget is made of. */
export type HeapLimits = Pick<
  Limits,
  "pickleValueBytes" | "pickleValueRatio" | "pickleValueBytesFloor" | "treeHeapRatio" | "treeHeapBytesFloor"
>;

/** What an error says of a crossed budget. */
export interface CrossedBudget {
  readonly limit: LimitName;
  /** Bytes, as `found`. */
  readonly allowed: number;
  readonly found: number;
  /** In the unit of `limit`. */
  readonly raiseTo: number;
  readonly text: string;
}

/** Estimated heap, charged by whoever makes values; allowed is a floor and a multiple of the files' size. */
export class HeapBudget {
  usedBytes = 0;
  /** `usedBytes` may not be above. Public for the pickle machine, which charges at every opcode. */
  allowedBytes = 0;
  private inputBytes: number;
  private highestBytes = 0;
  private readonly limits: HeapLimits;
  private readonly counted: Set<string> = new Set();

  /** With an infinite input only `pickleValueBytes` bounds the values. */
  constructor(limits: HeapLimits, inputBytes = 0) {
    this.limits = limits;
    this.inputBytes = inputBytes;
    this.allow();
  }

  /** Counts a file of the checkpoint, once however often it is opened. */
  addFile({ name, sizeBytes }: { readonly name: string; readonly sizeBytes: number }): void {
    if (this.counted.has(name)) return;
    this.counted.add(name);
    this.inputBytes += sizeBytes;
    this.allow();
  }

  /** Counts `nbytes` of heap. @throws {FormatError} RANKCAST_LIMIT naming `file` when that is more than is allowed. */
  charge(nbytes: number, file: string): void {
    this.usedBytes += nbytes;
    if (this.usedBytes > this.allowedBytes) throw this.exceeded(file);
  }

  /** A budget for values that are gone before anything is listed: what is left of this one, and the listing's share of the files. */
  passing(): HeapBudget {
    const { pickleValueBytes, treeHeapRatio } = this.limits;
    const made = new HeapBudget(this.limits, this.inputBytes);
    made.allowedBytes = Math.min(pickleValueBytes, this.allowedBytes - this.usedBytes + treeHeapRatio * this.inputBytes);
    return made;
  }

  /** Gives back what was charged for something that is gone. */
  release(nbytes: number): void {
    this.highestBytes = Math.max(this.highestBytes, this.usedBytes);
    this.usedBytes -= nbytes;
  }

  /** The most that was charged at a time: what is gone is not yet collected. */
  get peakBytes(): number {
    return Math.max(this.highestBytes, this.usedBytes);
  }

  /** The limit that is crossed, what it allows, what it must be for the values to take all that any may, and words for it. */
  get crossed(): CrossedBudget {
    const { pickleValueBytes, pickleValueRatio, pickleValueBytesFloor } = this.limits;
    const found = this.usedBytes;
    if (this.allowedBytes === pickleValueBytes) {
      return {
        limit: "pickleValueBytes",
        allowed: pickleValueBytes,
        found,
        // How much more is to come is not known.
        raiseTo: 2 * found,
        text: `above the limit pickleValueBytes = ${pickleValueBytes}`,
      };
    }
    const text = `more than pickleValueRatio = ${pickleValueRatio} times the files' ${this.inputBytes} bytes and pickleValueBytesFloor = ${pickleValueBytesFloor}`;
    const missing = pickleValueBytes - pickleValueBytesFloor;
    const [limit, raiseTo]: [LimitName, number] =
      this.inputBytes > 0 ? ["pickleValueRatio", Math.ceil(missing / this.inputBytes)] : ["pickleValueBytesFloor", pickleValueBytes];
    return { limit, allowed: this.allowedBytes, found, raiseTo, text };
  }

  private exceeded(file: string): FormatError {
    const { text, ...details } = this.crossed;
    return new FormatError("RANKCAST_LIMIT", `${printable(file)}: what is decoded of it takes about ${details.found} bytes, ${text}`, {
      details: { file, ...details },
    });
  }

  private allow(): void {
    const { pickleValueBytes, pickleValueRatio, pickleValueBytesFloor } = this.limits;
    this.allowedBytes = Math.min(pickleValueBytes, pickleValueBytesFloor + pickleValueRatio * this.inputBytes);
  }
}
