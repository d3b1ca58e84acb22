/**
 * The pickle machine: stack, marks, memo and cursor. It runs opcodes of protocols 0 to 5 over a window of bytes and executes nothing:
 * a global is a name, calling one is an entry of a table or an inert value. It never recurses; MARKs live beside the stack, so no value
 * of a file can stand for one.
 *
 * The machine is resumable. An opcode first reads all its bytes and only then changes anything, so when the window ends inside one, the
 * machine stops before that opcode and goes on there once it is fed a window that holds it.
 */
import type { ErrorDetails, FormatError } from "../errors/checkpoint-error.ts";
import type { ErrorCode } from "../errors/error-codes.ts";
import { quote } from "../errors/quote.ts";
import type { HeapBudget } from "../limits/heap-budget.ts";
import type { Limits } from "../limits/limits.ts";
import { type TreeDict, TreeList, type TreeValue, type Warning } from "../manifest/checkpoint-tree.ts";
import { DictKeys } from "./dict-key.ts";
import { STACK_SLOT_BYTES, TENSOR_BYTES } from "./heap-costs.ts";
import type { GlobalRef, PendingValue, PickleCall } from "./known-global.ts";
import type { MachineOptions } from "./machine-options.ts";
import { HANDLERS } from "./opcode-handlers.ts";
import { opcodeName } from "./opcodes.ts";
import { PickleMemo } from "./pickle-memo.ts";
import { pickleError } from "./pickle-site.ts";
import type { SkippedBytes } from "./unsettled.ts";

/** Why `run` returned. */
export type MachineState = "running" | "stopped" | "starved" | "nested";

const DANGEROUS_CALLS_NAMED_MAX = 10;
/** Values by which the stack is counted ahead. */
const STACK_BLOCK = 4096;
/** Thrown inside `run` when the window ends inside an opcode. One object: it carries nothing, and making an Error is slow. */
const STARVED: unique symbol = Symbol("starved");

/** See the module. Fields are public for the opcode files of this folder only. */
export class PickleMachine implements PickleCall {
  readonly limits: Limits;
  readonly options: MachineOptions;
  readonly memo: PickleMemo;
  readonly keys: DictKeys;
  readonly globals: Map<string, GlobalRef> = new Map();
  readonly warnings: Map<string, Warning> = new Map();
  readonly dangerousCalls: Set<string> = new Set();
  state: MachineState = "running";
  /** Slots at and above `top` hold values already taken off. */
  readonly stack: TreeValue[] = [];
  top = 0;
  /** Values below are out of reach until the innermost MARK is closed. */
  floor = 0;
  /** Floors outside the innermost MARK. */
  readonly marks: number[] = [];

  bytes: Uint8Array = new Uint8Array(0);
  buffer: Buffer = Buffer.alloc(0);
  view: DataView = new DataView(new ArrayBuffer(0));
  /** Offset of `bytes[0]` in the source; may run ahead of the window after a skip. */
  base: number;
  at = 0;
  /** First byte of `bytes` that the current opcode may not read: end of the window or of the frame. */
  limit = 0;
  opcodeAt = 0;
  /** Where the source ends, and where the open frame does (-1: none). */
  readonly sourceEnd: number;
  frameEnd = -1;
  /** First byte of the pickle in the source. */
  readonly begin: number;
  skippedBytes = 0;
  /** Bytes the next window must have. */
  wanted = 1;
  /** Whether some values must be settled at the end. */
  unsettled = false;
  openPending = 0;
  nestedBytes: Uint8Array | SkippedBytes | null = null;
  persistentIds = 0;
  readonly emptyTuple: TreeList = new TreeList("tuple");
  private stackCharged = 0;
  tensors = 0;
  private readonly heap: HeapBudget;

  constructor(begin: number, sourceEnd: number, options: MachineOptions) {
    this.begin = begin;
    this.base = begin;
    this.sourceEnd = sourceEnd;
    this.options = options;
    this.limits = options.limits;
    this.heap = options.heap;
    this.memo = new PickleMemo(this, options.memoReads);
    this.keys = new DictKeys(this);
  }

  /** Offset of the next opcode in the source. */
  get position(): number {
    return this.base + this.at;
  }

  /** Gives the machine bytes of the source from `position` on. */
  feed(bytes: Uint8Array): void {
    this.base = this.position;
    this.at = 0;
    // A Buffer's slice shares memory, a Uint8Array's copies; values cut out of the window must not keep all of it alive.
    this.bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
    this.buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.setLimit();
    this.state = "running";
  }

  /** Runs until STOP, the end of the window, or a nested stream. @throws {FormatError} pickle, truncated, limit. */
  run(): MachineState {
    const handlers = HANDLERS;
    try {
      while (this.state === "running") {
        this.opcodeAt = this.at;
        if (this.at >= this.limit) this.crossEdge();
        const handler = handlers[this.bytes[this.at++] as number];
        if (handler === undefined) throw this.refuse("RANKCAST_PICKLE_OPCODE", "no such opcode");
        handler(this);
        if (this.top > this.stackCharged) this.growStack();
      }
    } catch (error) {
      if (error !== STARVED) throw error;
      this.at = this.opcodeAt;
      this.state = "starved";
    }
    return this.state;
  }

  /** Makes sure that the opcode's next `nbytes` bytes are in reach. */
  need(nbytes: number): void {
    if (this.at + nbytes > this.limit) this.starve(nbytes);
  }

  /** Stops before the current opcode until a window holds `nbytes` more bytes of it. @throws {FormatError} when there cannot be one. */
  starve(nbytes: number): never {
    const end = this.position + nbytes;
    if (this.frameEnd >= 0 && end > this.frameEnd) {
      throw this.refuse("RANKCAST_PICKLE_FRAME", `the opcode crosses the end of its frame at byte ${this.fileOffset(this.frameEnd)}`);
    }
    if (end > this.sourceEnd) throw this.truncated(nbytes);
    this.wanted = end - (this.base + this.opcodeAt);
    throw STARVED;
  }

  /** Checks that `nbytes` more bytes exist in source and frame without asking that the window holds them. */
  claim(nbytes: number): void {
    const end = this.position + nbytes;
    if (end > this.sourceEnd) throw this.truncated(nbytes);
    if (this.frameEnd >= 0 && end > this.frameEnd) this.starve(nbytes);
  }

  push(value: TreeValue): void {
    this.stack[this.top++] = value;
  }

  pop(): TreeValue {
    if (this.top <= this.floor) throw this.underflow();
    return this.stack[--this.top] as TreeValue;
  }

  /** The topmost value, left where it is. */
  peek(): TreeValue {
    if (this.top <= this.floor) throw this.underflow();
    return this.stack[this.top - 1] as TreeValue;
  }

  /** Closes the innermost MARK: index of the first value above it. The values stay on the stack until `top` is set. */
  closeMark(): number {
    if (this.marks.length === 0) throw this.refuse("RANKCAST_PICKLE_STACK", "there is no MARK on the stack");
    const begin = this.floor;
    this.floor = this.marks.pop() as number;
    return begin;
  }

  /** The values above the innermost MARK, taken off. */
  popToMark(): TreeValue[] {
    const begin = this.closeMark();
    const values = this.stack.slice(begin, this.top);
    this.top = begin;
    return values;
  }

  /** Puts `value` where `pending` is: on top of the stack and in the memo. */
  settlePending(pending: PendingValue, value: TreeValue): void {
    this.openPending -= 1;
    this.stack[this.top - 1] = value;
    if (value === pending) return;
    for (const slot of pending.memoSlots) {
      if (this.memo.peek(slot) === pending) this.memo.set(slot, value);
    }
  }

  charge(nbytes: number): void {
    const { heap } = this;
    heap.usedBytes += nbytes;
    if (heap.usedBytes > heap.allowedBytes) throw this.overValueBytes();
  }

  /** Gives back what stack and memo were charged: the machine is done, and what it made is in its result. */
  releaseScratch(): void {
    this.heap.release(STACK_SLOT_BYTES * this.stackCharged + this.memo.chargedBytes);
  }

  warn(code: string, message: string): void {
    if (!this.warnings.has(code)) this.warnings.set(code, { code, message });
  }

  /** A call that attacks use, asked for and not made. Kept apart from the tree: an attack pops the result, and nothing of it would be left. */
  noteDangerousCall(global: string): void {
    if (this.dangerousCalls.size < DANGEROUS_CALLS_NAMED_MAX) this.dangerousCalls.add(global);
  }

  /** What was noted, calls that attacks use first. */
  takeWarnings(): Warning[] {
    const noted = [...this.warnings.values()];
    if (this.dangerousCalls.size === 0) return noted;
    const names = [...this.dangerousCalls].map(quote).join(", ");
    return [{ code: "dangerous-calls", message: `the pickle asks for calls of ${names}; nothing was run` }, ...noted];
  }

  countTensor(): void {
    this.tensors += 1;
    this.charge(TENSOR_BYTES);
    if (this.tensors > this.limits.tensors) throw this.overLimit("tensors", this.tensors);
  }

  setItem(dict: TreeDict, key: TreeValue, value: TreeValue): void {
    this.keys.set(dict, key, value);
  }

  refuse(code: ErrorCode, text: string, details?: ErrorDetails): FormatError {
    const byte = this.bytes[this.opcodeAt];
    return pickleError(
      code,
      text,
      this.options.site,
      this.base + this.opcodeAt,
      byte === undefined ? undefined : opcodeName(byte),
      details,
    );
  }

  /** An error for `found` above a limit. */
  overLimit(name: keyof Limits, found: number): FormatError {
    return this.refuse("RANKCAST_LIMIT", `${found} is above the limit ${name} = ${this.limits[name]}`, {
      limit: name,
      allowed: this.limits[name],
      found,
    });
  }

  private overValueBytes(): FormatError {
    const { text, ...details } = this.heap.crossed;
    return this.refuse("RANKCAST_LIMIT", `the values of the pickle take about ${details.found} bytes, ${text}`, details);
  }

  /** An offset of the source as a byte of the file. */
  fileOffset(offset: number): number {
    return this.options.site.baseOffset + offset;
  }

  private underflow(): FormatError {
    return this.refuse("RANKCAST_PICKLE_STACK", "the stack has too few values");
  }

  private truncated(nbytes: number): FormatError {
    const left = this.sourceEnd - this.position;
    return this.refuse("RANKCAST_PICKLE_TRUNCATED", `the pickle needs ${nbytes} more bytes here, ${Math.max(left, 0)} are left`, {
      expected: nbytes,
      found: Math.max(left, 0),
    });
  }

  /** The stack's own memory counts too. @throws {FormatError} RANKCAST_LIMIT. */
  private growStack(): void {
    const { pickleStackValues } = this.limits;
    if (this.top > pickleStackValues) throw this.overLimit("pickleStackValues", this.top);
    const next = Math.min(pickleStackValues, this.top + STACK_BLOCK);
    this.charge(STACK_SLOT_BYTES * (next - this.stackCharged));
    this.stackCharged = next;
  }

  /** At the end of frame or window: leaves the frame, or asks for more. */
  private crossEdge(): void {
    if (this.position === this.frameEnd) {
      this.frameEnd = -1;
      this.setLimit();
    }
    if (this.at >= this.limit) this.starve(1);
  }

  /** Opens a frame of `nbytes` bytes after the cursor. */
  openFrame(nbytes: number): void {
    this.frameEnd = this.position + nbytes;
    this.setLimit();
  }

  private setLimit(): void {
    this.limit = this.frameEnd < 0 ? this.bytes.length : Math.min(this.bytes.length, this.frameEnd - this.base);
  }
}
