/** Opcodes that move values between stack and memo, and those that frame the pickle. */
import { TreeList, type TreeValue } from "../manifest/checkpoint-tree.ts";
import { GlobalRef, PendingValue } from "./known-global.ts";
import type { PickleMachine } from "./pickle-machine.ts";
import { readLine } from "./text-line.ts";

const PROTOCOL_MAX = 5;
/** Estimated heap of one remembered slot number. */
const SLOT_BYTES = 12;

/** PROTO: the protocol, as the first opcode. @throws {FormatError} RANKCAST_PICKLE_PROTOCOL elsewhere, or for one that does not exist. */
export function proto(m: PickleMachine): void {
  m.need(1);
  if (m.base + m.opcodeAt !== m.begin) throw m.refuse("RANKCAST_PICKLE_PROTOCOL", "the protocol is named in the middle of the pickle");
  const version = m.bytes[m.at++] as number;
  if (version > PROTOCOL_MAX) throw m.refuse("RANKCAST_PICKLE_PROTOCOL", `pickle protocol ${version}; 0 to ${PROTOCOL_MAX} exist`);
}

/** FRAME: no opcode crosses its end. One may not begin inside another: readers disagree about what the rest of the outer one is. @throws {FormatError} RANKCAST_PICKLE_FRAME. */
export function frame(m: PickleMachine): void {
  m.need(8);
  if (m.frameEnd >= 0) throw m.refuse("RANKCAST_PICKLE_FRAME", "a frame begins inside a frame");
  const nbytes = Number(m.view.getBigUint64(m.at, true));
  m.at += 8;
  if (m.position + nbytes > m.sourceEnd) {
    throw m.refuse("RANKCAST_PICKLE_FRAME", `the frame has ${nbytes} bytes, ${m.sourceEnd - m.position} are left`);
  }
  m.openFrame(nbytes);
}

/** STOP: the top value is the result. @throws {FormatError} RANKCAST_PICKLE_FRAME inside a frame. */
export function stop(m: PickleMachine): void {
  m.peek();
  if (m.frameEnd >= 0 && m.position !== m.frameEnd) {
    throw m.refuse("RANKCAST_PICKLE_FRAME", `the pickle stops ${m.frameEnd - m.position} bytes before its frame does`);
  }
  m.state = "stopped";
}

/** MARK. @throws {FormatError} RANKCAST_LIMIT above `pickleMarkDepth`. */
export function mark(m: PickleMachine): void {
  if (m.marks.length >= m.limits.pickleMarkDepth) throw m.overLimit("pickleMarkDepth", m.marks.length + 1);
  m.marks.push(m.floor);
  m.floor = m.top;
}

/** POP: takes off the top value, or a MARK when that is what is on top. */
export function pop(m: PickleMachine): void {
  if (m.top === m.floor && m.marks.length > 0) m.closeMark();
  else m.pop();
}

/** POP_MARK: takes off everything above the MARK. */
export function popMark(m: PickleMachine): void {
  m.top = m.closeMark();
}

/** DUP: pushes the top value again. */
export function dup(m: PickleMachine): void {
  const value = m.peek();
  if (value instanceof TreeList) value.kept = true;
  m.push(value);
}

/** BINPUT: memoizes the top value. */
export function binPut(m: PickleMachine): void {
  m.need(1);
  memoize(m, m.bytes[m.at] as number);
  m.at += 1;
}

/** LONG_BINPUT: the same with a slot of 32 bits. */
export function longBinPut(m: PickleMachine): void {
  m.need(4);
  memoize(m, m.view.getUint32(m.at, true));
  m.at += 4;
}

/** PUT: the same in text. */
export function put(m: PickleMachine): void {
  memoize(m, readSlot(m));
}

/** MEMOIZE: memoizes the top value in the next slot. */
export function memoizeNext(m: PickleMachine): void {
  memoize(m, m.memo.count);
}

function memoize(m: PickleMachine, slot: number): void {
  const value = m.peek();
  if (m.openPending > 0 && value instanceof PendingValue) {
    m.charge(SLOT_BYTES);
    value.memoSlots.push(slot);
  }
  m.memo.set(slot, value);
}

/** BINGET: pushes a memoized value. */
export function binGet(m: PickleMachine): void {
  m.need(1);
  const value = m.memo.get(m.bytes[m.at] as number);
  m.at += 1;
  pushKept(m, value);
}

/** LONG_BINGET: the same with a slot of 32 bits. */
export function longBinGet(m: PickleMachine): void {
  m.need(4);
  const value = m.memo.get(m.view.getUint32(m.at, true));
  m.at += 4;
  pushKept(m, value);
}

/** From the second tensor on, torch's function is in the memo. */
function pushKept(m: PickleMachine, value: TreeValue): void {
  const { plainTensors } = m.options;
  if (plainTensors !== null && value instanceof GlobalRef && value.known?.dense && plainTensors.read(m)) return;
  m.push(value);
}

/** GET: the same in text. */
export function get(m: PickleMachine): void {
  m.push(m.memo.get(readSlot(m)));
}

function readSlot(m: PickleMachine): number {
  const text = readLine(m);
  const slot = Number(text);
  if (!/^\s*\d{1,16}\s*$/.test(text) || !Number.isSafeInteger(slot)) throw m.refuse("RANKCAST_PICKLE_MEMO", "the argument is no memo slot");
  return slot;
}
