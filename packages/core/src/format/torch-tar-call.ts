/** Errors and bounds of the tables of a torch tar: they check their numbers with the same functions as pickles do. */
import type { ErrorDetails, FormatError } from "../errors/checkpoint-error.ts";
import type { ErrorCode } from "../errors/error-codes.ts";
import type { HeapBudget } from "../limits/heap-budget.ts";
import type { Limits } from "../limits/limits.ts";
import type { TreeDict, TreeValue, Warning } from "../manifest/checkpoint-tree.ts";
import type { PickleCall } from "../pickle/known-global.ts";
import { type PickleSite, pickleError } from "../pickle/pickle-site.ts";

/** A `PickleCall` whose place is a byte of a table. Its warnings go to the archive's. */
export class TableCall implements PickleCall {
  readonly limits: Limits;
  readonly heap: HeapBudget;
  readonly site: PickleSite;
  /** First byte of the row that is being read. */
  position = 0;
  private tensors = 0;

  private readonly warnings: Warning[];

  constructor(limits: Limits, heap: HeapBudget, site: PickleSite, warnings: Warning[]) {
    this.limits = limits;
    this.heap = heap;
    this.site = site;
    this.warnings = warnings;
  }

  refuse(code: ErrorCode, text: string, details?: ErrorDetails): FormatError {
    return pickleError(code, text, this.site, this.position, undefined, details);
  }

  charge(nbytes: number): void {
    this.heap.usedBytes += nbytes;
    if (this.heap.usedBytes <= this.heap.allowedBytes) return;
    const { text, ...details } = this.heap.crossed;
    throw this.refuse("RANKCAST_LIMIT", `the values of the table take about ${details.found} bytes, ${text}`, details);
  }

  /** Once per code, however many rows have it. */
  warn(code: string, message: string): void {
    if (!this.warnings.some((each) => each.code === code)) this.warnings.push({ code, message });
  }

  countTensor(): void {
    this.tensors += 1;
    if (this.tensors > this.limits.tensors) throw this.refuse("RANKCAST_LIMIT", `more than tensors = ${this.limits.tensors} tensors`);
  }

  setItem(dict: TreeDict, key: TreeValue, value: TreeValue): void {
    if (typeof key !== "string") throw this.refuse("RANKCAST_PICKLE_KEY", "a key of a table is text");
    dict.entries.set(key, value);
  }
}
