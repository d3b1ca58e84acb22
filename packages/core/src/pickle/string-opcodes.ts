/** Opcodes that push text and bytes. Lengths are compared with what is left before anything is allocated. */
import { decodeUtf8, isAscii } from "./decode-text.ts";
import { BYTES_BYTES, TEXT_BYTES } from "./heap-costs.ts";
import type { PickleMachine } from "./pickle-machine.ts";
import { readLine } from "./text-line.ts";
import { ByteString, SkippedBytes } from "./unsettled.ts";

/** A Python 2 string this short and plain is text for sure. */
const PLAIN_STRING_BYTES_MAX = 256;

/** SHORT_BINUNICODE: UTF-8 text of up to 255 bytes. */
export function shortBinUnicode(m: PickleMachine): void {
  m.need(1);
  const nbytes = m.bytes[m.at] as number;
  m.need(1 + nbytes);
  m.at += 1;
  pushText(m, nbytes);
}

/** BINUNICODE: UTF-8 text of up to 4 GiB. */
export function binUnicode(m: PickleMachine): void {
  m.need(4);
  takeText(m, 4, m.view.getUint32(m.at, true));
}

/** BINUNICODE8: UTF-8 text of any size. */
export function binUnicode8(m: PickleMachine): void {
  m.need(8);
  takeText(m, 8, Number(m.view.getBigUint64(m.at, true)));
}

function takeText(m: PickleMachine, headBytes: number, nbytes: number): void {
  m.claim(headBytes + nbytes);
  if (nbytes > m.limits.pickleStringBytes) throw m.overLimit("pickleStringBytes", nbytes);
  m.need(headBytes + nbytes);
  m.at += headBytes;
  pushText(m, nbytes);
}

function pushText(m: PickleMachine, nbytes: number): void {
  const text = decodeUtf8(m.bytes, m.buffer, m.at, m.at + nbytes);
  if (text === null) throw m.refuse("RANKCAST_PICKLE_TEXT", "the text is not UTF-8");
  m.at += nbytes;
  chargeText(m, text, nbytes);
  m.push(text);
}

/** Text of Latin-1 takes a byte per character, other text two. Empty and single ones are V8's own. */
function chargeText(m: PickleMachine, text: string, nbytes: number): void {
  if (nbytes > 1) m.charge(TEXT_BYTES + (nbytes === text.length ? nbytes : 2 * text.length));
}

/** UNICODE: a line in Python's raw-unicode-escape: Latin-1 with `\uXXXX` and `\UXXXXXXXX`. @throws {FormatError} RANKCAST_PICKLE_TEXT. */
export function unicode(m: PickleMachine): void {
  const text = readLine(m).replace(/(\\+)(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([uU]))?/g, (whole, slashes: string, short, long, bare) => {
    // After an even number of backslashes the letter is just a letter. (The pattern takes every run of them, so it never goes back.)
    if (slashes.length % 2 === 0 || (short ?? long ?? bare) === undefined) return whole;
    const point = Number.parseInt(short ?? long ?? "", 16);
    if (!(point <= 0x10ffff)) throw m.refuse("RANKCAST_PICKLE_TEXT", "the text has an escape that stands for no character");
    return slashes.slice(1) + (point > 0xffff ? String.fromCodePoint(point) : String.fromCharCode(point));
  });
  m.charge(TEXT_BYTES + 2 * text.length);
  m.push(text);
}

/** SHORT_BINBYTES: up to 255 bytes. */
export function shortBinBytes(m: PickleMachine): void {
  m.need(1);
  takeBytes(m, 1, m.bytes[m.at] as number, false);
}

/** BINBYTES: up to 4 GiB. */
export function binBytes(m: PickleMachine): void {
  m.need(4);
  takeBytes(m, 4, m.view.getUint32(m.at, true), false);
}

/** BINBYTES8 and BYTEARRAY8: bytes of any number. */
export function binBytes8(m: PickleMachine): void {
  m.need(8);
  takeBytes(m, 8, Number(m.view.getBigUint64(m.at, true)), false);
}

/** SHORT_BINSTRING: a Python 2 string of up to 255 bytes. */
export function shortBinString(m: PickleMachine): void {
  m.need(1);
  takeBytes(m, 1, m.bytes[m.at] as number, true);
}

/** BINSTRING: a Python 2 string. The length is signed, unlike that of BINUNICODE and BINBYTES. @throws {FormatError} RANKCAST_PICKLE_TEXT for a negative one. */
export function binString(m: PickleMachine): void {
  m.need(4);
  const nbytes = m.view.getInt32(m.at, true);
  if (nbytes < 0) throw m.refuse("RANKCAST_PICKLE_TEXT", `the string has ${nbytes} bytes`);
  takeBytes(m, 4, nbytes, true);
}

/** Raw bytes after a length of `headBytes`: copied out of the window, or skipped and left where they are when they are many. */
function takeBytes(m: PickleMachine, headBytes: number, nbytes: number, text: boolean): void {
  m.claim(headBytes + nbytes);
  if (nbytes >= m.options.skipBytesMin) {
    m.at += headBytes;
    m.unsettled = true;
    m.push(new SkippedBytes(m.position, nbytes, text).value);
    m.at += nbytes;
    m.skippedBytes += nbytes;
    return;
  }
  if (nbytes > m.limits.pickleStringBytes) throw m.overLimit("pickleStringBytes", nbytes);
  m.need(headBytes + nbytes);
  const begin = m.at + headBytes;
  m.at = begin + nbytes;
  if (text && nbytes <= PLAIN_STRING_BYTES_MAX && isAscii(m.bytes, begin, m.at)) {
    if (nbytes > 1) m.charge(TEXT_BYTES + nbytes);
    m.push(m.buffer.toString("latin1", begin, m.at));
  } else if (text) pushPython2String(m, m.bytes.slice(begin, m.at));
  else {
    m.charge(nbytes + BYTES_BYTES);
    m.push(m.bytes.slice(begin, m.at));
  }
}

function pushPython2String(m: PickleMachine, bytes: Uint8Array): void {
  if (bytes.length <= PLAIN_STRING_BYTES_MAX && isAscii(bytes, 0, bytes.length)) {
    if (bytes.length > 1) m.charge(TEXT_BYTES + bytes.length);
    m.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1"));
    return;
  }
  m.unsettled = true;
  // Its bytes, and the text it becomes.
  m.charge(BYTES_BYTES + 2 * TEXT_BYTES + 3 * bytes.length);
  m.push(new ByteString(bytes).value);
}

const ESCAPES: ReadonlyMap<string, number> = new Map([
  ["\\", 0x5c],
  ["'", 0x27],
  ['"', 0x22],
  ["a", 7],
  ["b", 8],
  ["f", 12],
  ["n", 10],
  ["r", 13],
  ["t", 9],
  ["v", 11],
]);
const ESCAPED = /\\(?:x([0-9a-fA-F]{2})|([0-7]{1,3})|([\s\S]))|([^\\])/gy;

/** STRING: a Python 2 `repr`, quoted, with escapes. @throws {FormatError} RANKCAST_PICKLE_TEXT. */
export function string(m: PickleMachine): void {
  const line = readLine(m).trimEnd();
  const quote = line[0];
  if (line.length < 2 || (quote !== "'" && quote !== '"') || !line.endsWith(quote)) {
    throw m.refuse("RANKCAST_PICKLE_TEXT", "the string is not in quotes");
  }
  const bytes: number[] = [];
  const inner = line.slice(1, -1);
  let matched = 0;
  for (const [whole, hex, octal, letter, plain] of inner.matchAll(ESCAPED)) {
    matched += whole.length;
    if (plain !== undefined) bytes.push(plain.charCodeAt(0));
    else if (hex !== undefined) bytes.push(Number.parseInt(hex, 16));
    else if (octal !== undefined) bytes.push(Number.parseInt(octal, 8) & 0xff);
    else pushEscape(m, bytes, letter as string);
  }
  if (matched !== inner.length) throw m.refuse("RANKCAST_PICKLE_TEXT", "the string ends inside an escape");
  pushPython2String(m, Uint8Array.from(bytes));
}

/** An unknown escape stands for itself, backslash and all; `\x` without two digits is an error. */
function pushEscape(m: PickleMachine, bytes: number[], letter: string): void {
  if (letter === "x") throw m.refuse("RANKCAST_PICKLE_TEXT", "the string has an escape without digits");
  const byte = ESCAPES.get(letter);
  if (byte === undefined) bytes.push(0x5c, letter.charCodeAt(0));
  else bytes.push(byte);
}
