/** What a pickle machine is made with, and what its values may take. */
import type { Limits } from "../limits/limits.ts";
import type { TreeValue } from "../manifest/checkpoint-tree.ts";
import type { GlobalTable, PickleCall } from "./known-global.ts";
import type { MemoReads } from "./memo-reads.ts";
import type { PickleSite } from "./pickle-site.ts";

/** What a machine is made with. */
export interface MachineOptions {
  readonly limits: Limits;
  readonly site: PickleSite;
  readonly globals: GlobalTable;
  /** Answers a persistent id; without it they are refused. */
  readonly persistentLoad: ((id: TreeValue, call: PickleCall) => TreeValue) | undefined;
  /** Raw bytes of at least this size are skipped and left where they are (`SkippedBytes`). Infinity: none. */
  readonly skipBytesMin: number;
  /** Size of the whole file. What values may take grows with it. */
  readonly fileBytes: number;
  /** Slots of the memo that are read, when that is known beforehand. */
  readonly memoReads: MemoReads | null;
  /** Whether `torch.storage._load_from_bytes` may suspend the machine (`"nested"`); else it stays inert. */
  readonly nesting: boolean;
}

/** What the values of a pickle in a file of `fileBytes` bytes may take. */
export function valueBytesMax(limits: Limits, fileBytes: number): number {
  return Math.min(limits.pickleValueBytes, limits.pickleValueBytesFloor + limits.pickleValueRatio * fileBytes);
}
