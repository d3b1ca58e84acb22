/** Extra state as rows of the wire and back. */
import { EXTRA_ROW_TYPES, type ExtraPart, type ExtraRow } from "./extra-state.ts";
import type { RowReader } from "./manifest-row.ts";
import { plainRow, textRow } from "./manifest-text.ts";

/** A value of its own as it is, the name of a row as a list of one number. */
export function partRow(part: ExtraPart): unknown {
  return Array.isArray(part) ? part : plainRow(part as Exclude<ExtraPart, readonly [number]>);
}

/** The inverse of `partRow`. */
export function readPart(row: RowReader): ExtraPart {
  return row.oneOrPlain();
}

/** One row. */
export function extraRow({ type, label, numbers, parts, bytes }: ExtraRow): unknown[] {
  return [type, textRow(label), numbers, parts.map(partRow), bytes];
}

/** The inverse of `extraRow`. */
export function readExtraRow(row: RowReader): ExtraRow {
  const type = row.oneOf(EXTRA_ROW_TYPES);
  const label = row.text();
  const numbers = row.numbers();
  const parts = row.each(readPart);
  return { type, label, numbers, parts, bytes: row.optional((each) => each.bytes()) ?? null };
}
