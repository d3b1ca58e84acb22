/** Telling a pickle from other bytes. */
import { CheckpointError } from "../errors/checkpoint-error.ts";
import { HeapBudget } from "../limits/heap-budget.ts";
import type { Limits } from "../limits/limits.ts";
import { OPCODES } from "./opcodes.ts";
import { PickleMachine } from "./pickle-machine.ts";

const PROTOCOL_MAX = 5;
/** How the pickles of protocols 0 and 1 begin that could be checkpoints: a container or an object. */
const OLD_BEGINNINGS: ReadonlySet<number> = new Set([OPCODES.MARK, OPCODES.GLOBAL, OPCODES.EMPTY_DICT, OPCODES.EMPTY_LIST]);
/** A few opcodes run by chance in text; a whole head does not. */
const OPCODES_MIN = 8;

/**
 * Whether `head` begins a pickle of a source of `sizeBytes` bytes. Since protocol 2 the first two bytes say so. Older pickles have no
 * mark of their own, so their beginning is tried: it must run to its STOP, or to the end of `head`, without a fault.
 */
export function startsLikePickle(head: Uint8Array, sizeBytes: number, limits: Limits): boolean {
  const [first = 0, second = 0xff] = head;
  if (first === OPCODES.PROTO) return second <= PROTOCOL_MAX;
  if (!OLD_BEGINNINGS.has(first)) return false;
  const machine = new PickleMachine(0, sizeBytes, {
    limits,
    site: { file: "", baseOffset: 0 },
    globals: new Map(),
    persistentLoad: undefined,
    heap: new HeapBudget(limits, sizeBytes),
    skipBytesMin: Number.POSITIVE_INFINITY,
    memoReads: null,
    nesting: false,
    plainTensors: null,
  });
  machine.feed(head);
  try {
    const state = machine.run();
    return state === "stopped" || machine.memo.count + machine.globals.size >= OPCODES_MIN;
  } catch (error) {
    if (error instanceof CheckpointError) return false;
    throw error;
  }
}
