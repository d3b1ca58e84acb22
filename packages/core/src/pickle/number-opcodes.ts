/** Opcodes that push numbers and constants. Ints keep their value exactly: beyond 2^53 they are bigint. */
import { BIGINT_BYTES, FLOAT_BYTES } from "./heap-costs.ts";
import type { PickleMachine } from "./pickle-machine.ts";
import { narrow, parseInteger, readLine } from "./text-line.ts";
import { IntegralFloat } from "./unsettled.ts";

const PYTHON_FLOAT = /^\s*[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|inf(?:inity)?|nan)\s*$/i;
/** Python writes 24 characters at most; the pattern would take quadratic time on long runs of digits. */
const FLOAT_LENGTH_MAX = 400;
const BYTE_BITS = 8;
/** Below this many bytes a two's complement number fits a double exactly. */
const NUMBER_LONG_BYTES = 6;

/** NONE: pushes None. */
export function none(m: PickleMachine): void {
  m.push(null);
}

/** NEWTRUE: pushes True. */
export function newTrue(m: PickleMachine): void {
  m.push(true);
}

/** NEWFALSE: pushes False. */
export function newFalse(m: PickleMachine): void {
  m.push(false);
}

/** BININT: an int of 32 bits, signed. */
export function binInt(m: PickleMachine): void {
  m.need(4);
  const value = m.view.getInt32(m.at, true);
  // V8 keeps ints of 31 bits where pointers are; others are boxed in some tables.
  if (value >= 2 ** 30 || value < -(2 ** 30)) m.charge(FLOAT_BYTES);
  m.push(value);
  m.at += 4;
}

/** BININT1: an int of 8 bits, unsigned. */
export function binInt1(m: PickleMachine): void {
  m.need(1);
  m.push(m.bytes[m.at++] as number);
}

/** BININT2: an int of 16 bits, unsigned. */
export function binInt2(m: PickleMachine): void {
  m.need(2);
  m.push(m.view.getUint16(m.at, true));
  m.at += 2;
}

/** INT: decimal text; `00` and `01` are how protocol 0 writes False and True. */
export function int(m: PickleMachine): void {
  const text = readLine(m);
  m.push(text === "00" ? false : text === "01" ? true : parseInteger(m, text));
}

/** LONG: decimal text with an `L`. */
export function long(m: PickleMachine): void {
  m.push(parseInteger(m, readLine(m).replace(/L$/, "")));
}

/** LONG1: an int of up to 255 bytes. */
export function long1(m: PickleMachine): void {
  m.need(1);
  const nbytes = m.bytes[m.at] as number;
  m.need(1 + nbytes);
  m.at += 1;
  pushLong(m, nbytes);
}

/** LONG4: an int of any size. @throws {FormatError} RANKCAST_PICKLE_TEXT for a negative size, RANKCAST_LIMIT. */
export function long4(m: PickleMachine): void {
  m.need(4);
  const nbytes = m.view.getInt32(m.at, true);
  if (nbytes < 0) throw m.refuse("RANKCAST_PICKLE_TEXT", `the int has ${nbytes} bytes`);
  m.claim(4 + nbytes);
  if (nbytes > m.limits.pickleLongBytes) throw m.overLimit("pickleLongBytes", nbytes);
  m.need(4 + nbytes);
  m.at += 4;
  pushLong(m, nbytes);
}

/** Little-endian two's complement; no bytes are 0. */
function pushLong(m: PickleMachine, nbytes: number): void {
  const begin = m.at;
  m.at += nbytes;
  if (nbytes === 0) m.push(0);
  else if (nbytes <= NUMBER_LONG_BYTES) {
    if (nbytes > 3) m.charge(FLOAT_BYTES);
    m.push(m.buffer.readIntLE(begin, nbytes));
  } else {
    const digits = Buffer.from(m.bytes.subarray(begin, m.at)).reverse().toString("hex");
    m.push(narrow(BigInt.asIntN(nbytes * BYTE_BITS, BigInt(`0x${digits}`))));
    m.charge(nbytes + BIGINT_BYTES);
  }
}

/** BINFLOAT: a double, big-endian unlike every other number of a pickle. */
export function binFloat(m: PickleMachine): void {
  m.need(8);
  pushFloat(m, m.view.getFloat64(m.at, false));
  m.at += 8;
}

/** FLOAT: decimal text. @throws {FormatError} RANKCAST_PICKLE_TEXT when it is none. */
export function float(m: PickleMachine): void {
  const text = readLine(m);
  if (text.length > FLOAT_LENGTH_MAX || !PYTHON_FLOAT.test(text)) throw m.refuse("RANKCAST_PICKLE_TEXT", "the argument is no float");
  pushFloat(
    m,
    Number(
      text
        .replace(/inf(inity)?/i, "Infinity")
        .replace(/nan/i, "NaN")
        .trim(),
    ),
  );
}

function pushFloat(m: PickleMachine, value: number): void {
  m.charge(FLOAT_BYTES);
  if (!Number.isInteger(value)) {
    m.push(value);
    return;
  }
  m.unsettled = true;
  // The object that stands for it until the end.
  m.charge(2 * FLOAT_BYTES);
  m.push(new IntegralFloat(value).value);
}
