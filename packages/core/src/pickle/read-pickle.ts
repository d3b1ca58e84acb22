/** Reading one pickle. */
import { HeapBudget } from "../limits/heap-budget.ts";
import type { Limits } from "../limits/limits.ts";
import type { TreeValue, Warning } from "../manifest/checkpoint-tree.ts";
import { type Reading, readFromBytes } from "./byte-reading.ts";
import type { GlobalRef, GlobalTable, PickleCall } from "./known-global.ts";
import { KNOWN_GLOBALS } from "./known-globals.ts";
import { findMemoReads, type MemoReads } from "./memo-reads.ts";
import { PickleMachine } from "./pickle-machine.ts";
import type { PickleSite } from "./pickle-site.ts";
import { type FindStorage, PlainTensors } from "./plain-tensors.ts";
import { settle } from "./settle.ts";
import type { SkippedBytes } from "./unsettled.ts";

/** How to read a pickle. */
export interface PickleOptions {
  readonly limits: Limits;
  /** Place of the pickle, for messages. */
  readonly where: PickleSite;
  /** What is known about globals; by default Python's plain types, numpy's arrays and torch's tensors (`KNOWN_GLOBALS`). */
  readonly globals?: GlobalTable;
  /** Answers a persistent id (a storage, in torch's files). Without it they are refused. */
  readonly persistentLoad?: (id: TreeValue, call: PickleCall) => TreeValue;
  /** Answers what nearly all persistent ids of torch's files say, without the id; null when that is for `persistentLoad` to judge. */
  readonly findStorage?: FindStorage;
  /** Raw bytes of at least this size are not read but left as `SkippedBytes` for arrays to point at. Default: all are read. */
  readonly skipBytesMin?: number;
  /** What values may take, together with those of other pickles of the checkpoint. Without it only `pickleValueBytes` bounds them. */
  readonly heap?: HeapBudget;
  /** Slots of the memo that are read, when that is known; the values of others are not kept. */
  readonly memoReads?: MemoReads | null;
  /** Reads the checkpoint inside the bytes of `torch.storage._load_from_bytes`. Without it such a call stays inert. */
  readonly readNested?: (bytes: Uint8Array | SkippedBytes) => Reading<NestedStream>;
}

/** The checkpoint inside some bytes. */
export interface NestedStream {
  readonly value: TreeValue;
  /** Bytes of its pickles, which is the work it took. */
  readonly pickleBytes: number;
  readonly warnings: readonly Warning[];
}

/** What a pickle says. */
export interface PickleResult {
  readonly value: TreeValue;
  /** First byte after STOP, in the coordinates of the reading's source. */
  readonly endOffset: number;
  /** Every global named, once each, in order of appearance. */
  readonly globals: readonly GlobalRef[];
  readonly warnings: readonly Warning[];
}

/** The same nested bytes can be asked for again and again at five bytes a time, so the work counts like heap, beside what it makes. */
const NESTED_WORK_FACTOR = 2;
const WINDOW_BYTES_FIRST = 64 * 1024;
const WINDOW_BYTES_MAX = 4 * 1024 * 1024;
const NO_BYTES = new Uint8Array(0);

/** Reads the pickle that `bytes` begin with; bytes after its STOP are not looked at. @throws {FormatError} pickle, truncated, limit. */
export function readPickle(bytes: Uint8Array, options: PickleOptions): PickleResult {
  return readFromBytes(decodePickle(0, bytes.length, { ...options, memoReads: findMemoReads(bytes) }), bytes);
}

/**
 * Reads the pickle at `begin` of a source that ends at `end`, window by window.
 * @throws {FormatError} pickle, truncated, limit; each names file, record, byte of the file and opcode.
 */
export function* decodePickle(begin: number, end: number, options: PickleOptions): Reading<PickleResult> {
  const machine = new PickleMachine(begin, end, {
    limits: options.limits,
    site: options.where,
    globals: options.globals ?? KNOWN_GLOBALS,
    persistentLoad: options.persistentLoad,
    heap: options.heap ?? new HeapBudget(options.limits, Number.POSITIVE_INFINITY),
    skipBytesMin: options.skipBytesMin ?? Number.POSITIVE_INFINITY,
    memoReads: options.memoReads ?? null,
    nesting: options.readNested !== undefined,
    plainTensors: options.memoReads && options.findStorage ? new PlainTensors(options.memoReads, options.findStorage) : null,
  });
  let windowBytes = WINDOW_BYTES_FIRST;
  yield* feedMachine(machine, 1, windowBytes);
  while (machine.run() !== "stopped") {
    if (machine.state === "nested") {
      yield* answerNested(machine, options);
    } else {
      windowBytes = Math.min(windowBytes * 2, WINDOW_BYTES_MAX);
      yield* feedMachine(machine, machine.wanted, Math.max(windowBytes, machine.wanted * 2));
    }
    checkSize(machine);
  }
  checkSize(machine);
  const top = machine.pop();
  const value = machine.unsettled ? yield* settle(top, machine) : top;
  machine.releaseScratch();
  return {
    value,
    endOffset: machine.position,
    globals: [...machine.globals.values()],
    warnings: machine.takeWarnings(),
  };
}

function* feedMachine(machine: PickleMachine, nbytes: number, windowBytes: number): Reading<void> {
  const offset = machine.position;
  const left = machine.sourceEnd - offset;
  const bytes = left > 0 ? yield { offset, nbytes: Math.min(nbytes, left), wish: Math.min(windowBytes, left) } : NO_BYTES;
  // More than was asked for is welcome, but nothing behind the end of the pickle's own region.
  machine.feed(bytes.length > left ? bytes.subarray(0, Math.max(left, 0)) : bytes);
}

function checkSize(machine: PickleMachine): void {
  const consumed = machine.position - machine.begin - machine.skippedBytes;
  if (consumed > machine.limits.pickleBytes) throw machine.overLimit("pickleBytes", consumed);
}

function* answerNested(machine: PickleMachine, options: PickleOptions): Reading<void> {
  const bytes = machine.nestedBytes;
  machine.nestedBytes = null;
  if (bytes === null || options.readNested === undefined)
    throw machine.refuse("RANKCAST_PICKLE_CALL", "there is no reader for nested streams");
  const { value, pickleBytes, warnings } = yield* options.readNested(bytes);
  for (const { code, message } of warnings) machine.warn(`nested-${code}`, message);
  machine.charge(NESTED_WORK_FACTOR * pickleBytes);
  machine.push(value);
  machine.state = "running";
}
