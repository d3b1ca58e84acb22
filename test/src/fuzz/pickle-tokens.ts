/** Cuts a pickle into its opcodes with their arguments, for changes that keep the stream readable. */
import { OPCODES } from "@rankcast/core/internal";

/** How long the argument of an opcode is: a fixed number, text lines, or a length in front. */
type Argument = { readonly fixed: number } | { readonly lines: number } | { readonly prefix: number };

const O = OPCODES;
const FIXED: readonly (readonly [number, readonly number[]])[] = [
  [1, [O.BININT1, O.BINPUT, O.BINGET, O.PROTO, O.EXT1]],
  [2, [O.BININT2, O.EXT2]],
  [4, [O.BININT, O.LONG_BINPUT, O.LONG_BINGET, O.EXT4]],
  [8, [O.BINFLOAT, O.FRAME]],
];
const LINES: readonly (readonly [number, readonly number[]])[] = [
  [1, [O.FLOAT, O.INT, O.LONG, O.STRING, O.UNICODE, O.PERSID, O.GET, O.PUT]],
  [2, [O.GLOBAL, O.INST]],
];
const PREFIXED: readonly (readonly [number, readonly number[]])[] = [
  [1, [O.SHORT_BINSTRING, O.SHORT_BINBYTES, O.SHORT_BINUNICODE, O.LONG1]],
  [4, [O.BINSTRING, O.BINUNICODE, O.BINBYTES, O.LONG4]],
  [8, [O.BINUNICODE8, O.BINBYTES8, O.BYTEARRAY8]],
];

const ARGUMENTS: ReadonlyMap<number, Argument> = new Map([
  ...FIXED.flatMap(([fixed, opcodes]) => opcodes.map((opcode): [number, Argument] => [opcode, { fixed }])),
  ...LINES.flatMap(([lines, opcodes]) => opcodes.map((opcode): [number, Argument] => [opcode, { lines }])),
  ...PREFIXED.flatMap(([prefix, opcodes]) => opcodes.map((opcode): [number, Argument] => [opcode, { prefix }])),
]);

/** Bytes that are opcodes. */
export const OPCODE_BYTES: readonly number[] = Object.values(OPCODES);

/** The opcodes of the pickles at the start of `bytes`, STOPs included, and what follows them. */
export interface TokenStream {
  readonly tokens: readonly Uint8Array[];
  readonly tail: Uint8Array;
}

/** At most `pickles` pickles; where the bytes stop making sense the tail begins. */
export function readTokens(bytes: Uint8Array, pickles: number): TokenStream {
  const known = new Set(OPCODE_BYTES);
  const tokens: Uint8Array[] = [];
  let at = 0;
  for (let left = pickles; left > 0 && at < bytes.length; ) {
    const opcode = bytes[at] ?? 0;
    const end = known.has(opcode) ? endOf(bytes, at) : null;
    if (end === null || end > bytes.length) break;
    tokens.push(bytes.subarray(at, end));
    at = end;
    if (opcode === O.STOP) left -= 1;
  }
  return { tokens, tail: bytes.subarray(at) };
}

function endOf(bytes: Uint8Array, at: number): number | null {
  const argument = ARGUMENTS.get(bytes[at] ?? 0);
  if (argument === undefined) return at + 1;
  if ("fixed" in argument) return at + 1 + argument.fixed;
  if ("prefix" in argument) {
    let length = 0;
    for (let each = argument.prefix - 1; each >= 0; each -= 1) length = length * 256 + (bytes[at + 1 + each] ?? 0);
    return at + 1 + argument.prefix + length;
  }
  let end = at + 1;
  for (let line = 0; line < argument.lines; line += 1) {
    const newline = bytes.indexOf(10, end);
    if (newline < 0) return null;
    end = newline + 1;
  }
  return end;
}
