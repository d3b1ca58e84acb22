/** Arguments of the text opcodes: everything up to a newline. */
import type { PickleMachine } from "./pickle-machine.ts";

const NEWLINE = 0x0a;
/** Decimal digits of the largest int that `pickleLongBytes` allows take 2.41 times its bytes. */
const DIGITS_PER_BYTE = 2.5;

/** Moves past the line at the cursor; index of its newline, so the line is from the old cursor to there. @throws {FormatError} limit, truncated. */
export function takeLine(m: PickleMachine): number {
  const end = m.bytes.indexOf(NEWLINE, m.at);
  const length = (end < 0 ? m.limit : end) - m.at;
  if (length > m.limits.pickleStringBytes) throw m.overLimit("pickleStringBytes", length);
  if (end < 0 || end >= m.limit) m.starve(m.limit - m.at + 1);
  m.at = end + 1;
  return end;
}

/** The line at the cursor, one character per byte. */
export function readLine(m: PickleMachine): string {
  const begin = m.at;
  return m.buffer.toString("latin1", begin, takeLine(m));
}

/** A decimal int as Python writes it. @throws {FormatError} RANKCAST_PICKLE_TEXT, limit. */
export function parseInteger(m: PickleMachine, text: string): number | bigint {
  if (text.length > m.limits.pickleLongBytes * DIGITS_PER_BYTE)
    throw m.overLimit("pickleLongBytes", Math.floor(text.length / DIGITS_PER_BYTE));
  if (!/^\s*[+-]?\d+\s*$/.test(text)) throw m.refuse("RANKCAST_PICKLE_TEXT", "the argument is no integer");
  return narrow(BigInt(text.trim().replace(/^\+/, "")));
}

/** A big integer as the number it equals, when there is one that is exact. */
export function narrow(value: bigint): number | bigint {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}
