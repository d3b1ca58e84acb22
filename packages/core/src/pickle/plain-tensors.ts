/**
 * Tensors as torch writes nearly all of them: the same two dozen opcodes each time, of which only key, sizes and place differ. Here they are read in
 * one go, and none of the tuples, texts and dicts is made that the machine would throw away with the next opcode.
 *
 *     GET _rebuild_tensor_v2 │ ( ( GET "storage"  GET class  TEXT key  GET location  INT numel  TUPLE  BINPERSID
 *       INT offset  TUPLE sizes  TUPLE strides  FALSE  GET OrderedDict  EMPTY_TUPLE REDUCE  TUPLE REDUCE           any of them memoized in between
 *
 * Exact: whatever differs in any way, is read again by anything, or would be refused, is left to the machine, which stands where it stood before.
 */
import { TensorRef } from "../manifest/checkpoint-tree.ts";
import { type DType, traitsOf } from "../tensor/dtype.ts";
import { ShapeSlots } from "../tensor/shape-slots.ts";
import { FIXED_BYTES, FIXED_ELEMENT_BYTES, LIST_SHELL_BYTES } from "./heap-costs.ts";
import { GlobalRef } from "./known-global.ts";
import type { MemoReads } from "./memo-reads.ts";
import type { PickleMachine } from "./pickle-machine.ts";
import { keyOf } from "./plain-run.ts";
import { PlainRuns } from "./plain-runs.ts";
import { storageClassNamed, storageItemBytes } from "./torch-names.ts";
import type { TypedStorage } from "./torch-storage.ts";
import { endOfElements } from "./torch-tensor.ts";

/** The storage with a decimal key; null when there is anything to object. */
export type FindStorage = (key: number, wanted: PlainStorage, machine: PickleMachine) => TypedStorage | null;

/** What a persistent id says beside the key. The same object for storages that are known to be alike. */
export interface PlainStorage {
  readonly elementType: DType;
  readonly location: string;
  readonly nbytes: number;
}

/** Longer than what is read here can be, so that its bytes need not be counted one by one. */
const RUN_BYTES_MAX = 512;
const RANK_MAX = 8;
const KEY_DIGITS_MAX = 9;
const STACK_VALUES = 16;
/** More than is charged for one tensor, its storage included. */
const HEAP_BYTES_MAX = 4096;
const ARRAY_BYTES = LIST_SHELL_BYTES + FIXED_BYTES;

const MARK = 0x28;
const EMPTY_TUPLE = 0x29;
const BININT = 0x4a;
const BININT1 = 0x4b;
const BININT2 = 0x4d;
const BINPERSID = 0x51;
const REDUCE = 0x52;
const BINUNICODE = 0x58;
const BINGET = 0x68;
const LONG_BINGET = 0x6a;
const BINPUT = 0x71;
const LONG_BINPUT = 0x72;
const TUPLE = 0x74;
const TUPLE1 = 0x85;
const NEWTRUE = 0x88;
const NEWFALSE = 0x89;
const LONG1 = 0x8a;
const SHORT_BINUNICODE = 0x8c;
const MEMOIZE = 0x94;

/** Reads plain tensors of one pickle. See the module. */
export class PlainTensors {
  private readonly reads: MemoReads;
  private readonly find: FindStorage;
  private readonly slots = new ShapeSlots();
  private readonly numbers: number[] = [];
  private readonly runs = new PlainRuns(RUN_BYTES_MAX);
  private at = 0;
  /** What of the run that is read differs in others like it. */
  private readonly gaps = { keyAt: 0, keyDigits: 0, slotsAt: [] as number[], puts: 0 };
  /** Whether slots of one byte are in it. */
  private narrow = false;

  /** Values of slots that are not among `reads` are never asked for. */
  constructor(reads: MemoReads, find: FindStorage) {
    this.reads = reads;
    this.find = find;
  }

  /** Pushes the tensor whose function was fetched last; false, and nothing has changed, when it is for the machine. */
  read(m: PickleMachine): boolean {
    const { limits } = m;
    if (m.at + RUN_BYTES_MAX > m.limit || m.top + STACK_VALUES > limits.pickleStackValues) return false;
    if (m.marks.length + 2 > limits.pickleMarkDepth || limits.tensorRank < RANK_MAX) return false;
    if (m.tensors >= limits.tensors || m.persistentIds >= limits.persistentIds) return false;
    const { heap } = m.options;
    if (heap.usedBytes + HEAP_BYTES_MAX > heap.allowedBytes) return false;
    return this.readKnown(m) || this.readNew(m);
  }

  /** A tensor like one before it. */
  private readKnown(m: PickleMachine): boolean {
    const { runs } = this;
    const run = runs.match(m, this.reads);
    const storage = run === null ? null : this.find(runs.key, run.storage, m);
    if (run === null || storage === null) return false;
    this.finish(m, run.tensor.over(storage), m.at + run.nbytes, run.puts);
    return true;
  }

  private readNew(m: PickleMachine): boolean {
    const { bytes } = m;
    this.at = m.at;
    this.gaps.puts = 0;
    this.gaps.slotsAt.length = 0;
    this.narrow = false;
    if (bytes[this.at] !== MARK || bytes[this.at + 1] !== MARK) return false;
    this.at += 2;
    if (this.get(m) !== "storage") return false;
    const type = this.get(m);
    const key = this.key(m);
    if (key < 0 || !this.put(m)) return false;
    const location = this.get(m);
    const numel = this.int(m);
    if (!(type instanceof GlobalRef) || typeof location !== "string" || numel < 0) return false;
    if (!this.expect(m, TUPLE) || !this.put(m) || !this.expect(m, BINPERSID)) return false;
    const elementType = storageClassNamed(type);
    if (elementType === null || elementType === "untyped") return false;
    const nbytes = numel * storageItemBytes(elementType);
    return Number.isSafeInteger(nbytes) && this.view(m, key, { elementType, location, nbytes });
  }

  /** The rest, once the storage is known. */
  private view(m: PickleMachine, key: number, wanted: PlainStorage): boolean {
    const { elementType: dtype } = wanted;
    const storageOffset = this.int(m);
    if (storageOffset < 0) return false;
    const shape = this.tuple(m);
    let arrayBytes = this.slots.made ? ARRAY_BYTES + FIXED_ELEMENT_BYTES * (shape?.length ?? 0) : 0;
    if (shape === null || !this.put(m)) return false;
    const stride = this.tuple(m);
    if (this.slots.made) arrayBytes += ARRAY_BYTES + FIXED_ELEMENT_BYTES * shape.length;
    if (stride === null || stride.length !== shape.length || !this.put(m)) return false;
    const flag = m.bytes[this.at];
    this.at += 1;
    if (flag !== NEWTRUE && flag !== NEWFALSE) return false;
    if (!this.noHooks(m) || !this.expect(m, TUPLE) || !this.put(m) || !this.expect(m, REDUCE)) return false;
    this.putUnread(m);
    const { bits } = traitsOf(dtype);
    const end = endOfElements(shape, stride, storageOffset, bits);
    if (end === null || Math.ceil((end * bits) / 8) > wanted.nbytes) return false;
    const storage = this.find(key, wanted, m);
    if (storage === null) return false;
    m.charge(arrayBytes);
    const tensor = new TensorRef({ dtype, shape, stride, storageOffset, storage, requiresGrad: flag === NEWTRUE });
    if (!this.narrow) this.runs.keep(m, this.at, this.gaps, { tensor, storage: wanted });
    this.finish(m, tensor, this.at, this.gaps.puts);
    return true;
  }

  private finish(m: PickleMachine, tensor: TensorRef, end: number, puts: number): void {
    m.countTensor();
    m.persistentIds += 1;
    m.memo.count += puts;
    m.at = end;
    m.push(tensor);
  }

  private expect(m: PickleMachine, opcode: number): boolean {
    if (m.bytes[this.at] !== opcode) return false;
    this.at += 1;
    return true;
  }

  /** A value of the memo; undefined when that is not what comes. */
  private get(m: PickleMachine): unknown {
    const opcode = m.bytes[this.at];
    const at = this.at + 1;
    if (opcode === BINGET) {
      this.at += 2;
      return m.memo.peek(m.bytes[at] as number);
    }
    if (opcode !== LONG_BINGET) return undefined;
    this.at += 5;
    return m.memo.peek(m.view.getUint32(at, true));
  }

  /** Past the slot in which the value is memoized, if it is; false when that slot is read. */
  private put(m: PickleMachine): boolean {
    const opcode = m.bytes[this.at];
    let slot = 0;
    if (opcode === BINPUT) {
      slot = m.bytes[this.at + 1] as number;
      this.narrow = true;
      this.at += 2;
    } else if (opcode === LONG_BINPUT) {
      slot = m.view.getUint32(this.at + 1, true);
      this.gaps.slotsAt.push(this.at + 1 - m.at);
      this.at += 5;
    } else if (opcode === MEMOIZE) {
      slot = m.memo.count + this.gaps.puts;
      this.at += 1;
    } else return true;
    this.gaps.puts += 1;
    return !this.reads.has(slot);
  }

  /** The same for the tensor itself; when its slot is read, the machine memoizes it. */
  private putUnread(m: PickleMachine): void {
    const { at, gaps } = this;
    const { puts } = gaps;
    const slots = gaps.slotsAt.length;
    if (this.put(m)) return;
    this.at = at;
    gaps.puts = puts;
    gaps.slotsAt.length = slots;
  }

  /** `OrderedDict()`, which stands for no hooks. */
  private noHooks(m: PickleMachine): boolean {
    const made = this.get(m);
    if (!(made instanceof GlobalRef) || made.global !== "collections.OrderedDict" || made.known?.call === undefined) return false;
    return this.expect(m, EMPTY_TUPLE) && this.expect(m, REDUCE) && this.put(m);
  }

  /** A key as torch counts them; -1 for any other. */
  private key(m: PickleMachine): number {
    const { bytes } = m;
    const opcode = bytes[this.at];
    if (opcode !== BINUNICODE && opcode !== SHORT_BINUNICODE) return -1;
    const digits = opcode === BINUNICODE ? m.view.getUint32(this.at + 1, true) : (bytes[this.at + 1] as number);
    const begin = this.at + (opcode === BINUNICODE ? 5 : 2);
    if (digits < 1 || digits > KEY_DIGITS_MAX || digits > m.limits.pickleStringBytes) return -1;
    const key = keyOf(bytes, begin, digits);
    this.gaps.keyAt = begin - m.at;
    this.gaps.keyDigits = digits;
    this.at = begin + digits;
    return key;
  }

  /** An int that is not negative; -1 for anything else. */
  private int(m: PickleMachine): number {
    const { bytes } = m;
    const opcode = bytes[this.at];
    const at = this.at + 1;
    if (opcode === BININT1) {
      this.at += 2;
      return bytes[at] as number;
    }
    if (opcode === BININT2) {
      this.at += 3;
      return (bytes[at] as number) + 256 * (bytes[at + 1] as number);
    }
    if (opcode === BININT) {
      this.at += 5;
      return m.view.getInt32(at, true);
    }
    const nbytes = bytes[at] as number;
    if (opcode !== LONG1 || nbytes < 1 || nbytes > 6) return -1;
    this.at += 2 + nbytes;
    return m.buffer.readIntLE(at + 1, nbytes);
  }

  /** A tuple of counts; null for anything else. */
  private tuple(m: PickleMachine): readonly number[] | null {
    const { numbers } = this;
    const marked = m.bytes[this.at] === MARK;
    let rank = 0;
    if (marked) this.at += 1;
    else if (this.expect(m, EMPTY_TUPLE)) return this.slots.shapeOf(numbers, 0) as readonly number[];
    for (; rank <= RANK_MAX; rank += 1) {
      const opcode = m.bytes[this.at] as number;
      if (marked ? opcode === TUPLE : rank > 0 && opcode === TUPLE1 + rank - 1) break;
      if (rank === RANK_MAX) return null;
      const count = this.int(m);
      if (count < 0) return null;
      numbers[rank] = count;
    }
    this.at += 1;
    return rank > 3 && !marked ? null : (this.slots.shapeOf(numbers, rank) as readonly number[]);
  }
}
