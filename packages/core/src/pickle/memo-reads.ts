/**
 * Which memo slots a pickle ever reads. Writers memoize every tuple, dict and text "in case": of the ten slots per tensor that torch fills, hardly
 * one is read. What nobody reads need not be kept, so the values of a tensor are garbage as soon as the tensor is made.
 */

/** How long the argument of an opcode is: so many bytes, or one of the kinds below. Fact source: Python `pickletools.py`. */
const LINE = -1;
const TWO_LINES = -2;
const COUNTED_1 = -3;
const COUNTED_4 = -4;
const COUNTED_8 = -5;
const UNKNOWN = -9;

const ARGUMENTS = new Int8Array(256).fill(UNKNOWN);
for (const opcode of "().012NQR]abdelostu}") ARGUMENTS[opcode.charCodeAt(0)] = 0;
for (const opcode of [0x81, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8f, 0x90, 0x91, 0x92, 0x93, 0x94, 0x97, 0x98]) ARGUMENTS[opcode] = 0;
for (const opcode of "FILPSVgp") ARGUMENTS[opcode.charCodeAt(0)] = LINE;
for (const opcode of "ci") ARGUMENTS[opcode.charCodeAt(0)] = TWO_LINES;
for (const opcode of ["K", "h", "q", "\x80", "\x82"]) ARGUMENTS[opcode.charCodeAt(0)] = 1;
for (const opcode of ["M", "\x83"]) ARGUMENTS[opcode.charCodeAt(0)] = 2;
for (const opcode of ["J", "j", "r", "\x84"]) ARGUMENTS[opcode.charCodeAt(0)] = 4;
for (const opcode of ["G", "\x95"]) ARGUMENTS[opcode.charCodeAt(0)] = 8;
for (const opcode of ["U", "C", "\x8a", "\x8c"]) ARGUMENTS[opcode.charCodeAt(0)] = COUNTED_1;
for (const opcode of ["T", "X", "B", "\x8b"]) ARGUMENTS[opcode.charCodeAt(0)] = COUNTED_4;
for (const opcode of [0x8d, 0x8e, 0x96]) ARGUMENTS[opcode] = COUNTED_8;

const STOP = 0x2e;
const BINGET = 0x68;
const LONG_BINGET = 0x6a;
const BINPUT = 0x71;
const LONG_BINPUT = 0x72;
const TEXT_GET = 0x67;
const TEXT_PUT = 0x70;
const MEMOIZE = 0x94;
const NEWLINE = 0x0a;

/** What an opcode has to do with slots; most have nothing. */
const FILLS = 1;
const FILLS_NEXT = 2;
const READS = 3;
const IN_TEXT = 4;
const STOPS = 5;

const ROLES = new Int8Array(256);
for (const opcode of [BINPUT, LONG_BINPUT]) ROLES[opcode] = FILLS;
for (const opcode of [BINGET, LONG_BINGET]) ROLES[opcode] = READS;
for (const opcode of [TEXT_GET, TEXT_PUT]) ROLES[opcode] = IN_TEXT;
ROLES[MEMOIZE] = FILLS_NEXT;
ROLES[STOP] = STOPS;

/** Slots that are read. */
export interface MemoReads {
  /** One more than the highest of them. */
  readonly end: number;
  has(slot: number): boolean;
}

/**
 * Looks through the pickle that `bytes` begin with. Null when that says nothing: slots in text, slots numbered in both ways (then the number of slots
 * in use decides, repeated ones included), slots beyond any that could have been filled, or bytes that are no pickle.
 */
export function findMemoReads(bytes: Uint8Array): MemoReads | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const read = new Uint8Array((bytes.length >> 3) + 1);
  let end = 0;
  let puts = 0;
  let memoizes = 0;
  for (let at = 0; at < bytes.length; ) {
    const opcode = bytes[at] as number;
    const role = ROLES[opcode] as number;
    if (role === STOPS) return puts > 0 && memoizes > 0 ? null : slotsIn(read, end);
    const kind = ARGUMENTS[opcode] as number;
    const next = at + 1 + (kind >= 0 ? kind : argumentBytes(bytes, view, at + 1, kind));
    if (role === IN_TEXT || !(next <= bytes.length)) return null;
    if (role === FILLS) puts += 1;
    else if (role === FILLS_NEXT) memoizes += 1;
    else if (role === READS) {
      const slot = opcode === BINGET ? (bytes[at + 1] as number) : view.getUint32(at + 1, true);
      // Filling a slot takes two bytes or, in order, one.
      if (slot > at) return null;
      read[slot >> 3] = (read[slot >> 3] ?? 0) | (1 << (slot & 7));
      if (slot >= end) end = slot + 1;
    }
    at = next;
  }
  return null;
}

/** The slots whose bits are set, all of them below `end`. */
function slotsIn(read: Uint8Array, end: number): MemoReads {
  return { end, has: (slot) => slot < end && (((read[slot >> 3] ?? 0) >> (slot & 7)) & 1) === 1 };
}

/** Length of the argument at `at` when its opcode does not say it; NaN when there is none. */
function argumentBytes(bytes: Uint8Array, view: DataView, at: number, kind: number): number {
  if (kind === COUNTED_1) return at < bytes.length ? 1 + (bytes[at] as number) : Number.NaN;
  if (kind === COUNTED_4) return at + 4 <= bytes.length ? 4 + view.getUint32(at, true) : Number.NaN;
  if (kind === COUNTED_8) return at + 8 <= bytes.length ? 8 + Number(view.getBigUint64(at, true)) : Number.NaN;
  if (kind === UNKNOWN) return Number.NaN;
  const line = bytes.indexOf(NEWLINE, at);
  const last = kind === TWO_LINES && line >= 0 ? bytes.indexOf(NEWLINE, line + 1) : line;
  return last < 0 ? Number.NaN : last + 1 - at;
}
