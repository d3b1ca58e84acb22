/** What a pickle machine is made with. */
import type { HeapBudget } from "../limits/heap-budget.ts";
import type { Limits } from "../limits/limits.ts";
import type { TreeValue } from "../manifest/checkpoint-tree.ts";
import type { GlobalTable, PickleCall } from "./known-global.ts";
import type { MemoReads } from "./memo-reads.ts";
import type { PickleSite } from "./pickle-site.ts";
import type { PlainTensors } from "./plain-tensors.ts";

/** What a machine is made with. */
export interface MachineOptions {
  readonly limits: Limits;
  readonly site: PickleSite;
  readonly globals: GlobalTable;
  /** Answers a persistent id; without it they are refused. */
  readonly persistentLoad: ((id: TreeValue, call: PickleCall) => TreeValue) | undefined;
  /** Raw bytes of at least this size are skipped and left where they are (`SkippedBytes`). Infinity: none. */
  readonly skipBytesMin: number;
  /** What values may take. */
  readonly heap: HeapBudget;
  /** Slots of the memo that are read, when that is known beforehand. */
  readonly memoReads: MemoReads | null;
  /** Whether `torch.storage._load_from_bytes` may suspend the machine (`"nested"`); else it stays inert. */
  readonly nesting: boolean;
  /** Reads tensors that are written as nearly all are, without the machine; null when that cannot be. */
  readonly plainTensors: PlainTensors | null;
}
