/** Text in rows. Names in checkpoints may hold lone surrogates, which UTF-8 cannot carry; such text travels as its UTF-16 bytes. */
import type { PlainValue } from "./manifest.ts";

const LONE_SURROGATE = /\p{Surrogate}/u;

/** Text as it is when it is well formed, else its UTF-16 bytes. */
export function textRow(text: string): string | Uint8Array {
  return LONE_SURROGATE.test(text) ? Buffer.from(text, "utf16le") : text;
}

/** The text that `textRow` wrote; null when `row` is something else. */
export function textFromRow(row: unknown): string | null {
  if (typeof row === "string") return row;
  return row instanceof Uint8Array && row.length % 2 === 0 ? Buffer.from(row).toString("utf16le") : null;
}

/** A plain value; strings as `textRow`. */
export function plainRow(value: PlainValue): unknown {
  return typeof value === "string" ? textRow(value) : value;
}
