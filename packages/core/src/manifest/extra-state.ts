/**
 * What modules keep beside their tensors (torch's `get_extra_state`), as plain data. A table of rows instead of nested values: what is shared
 * stays shared, what is nested costs no stack, and a list of a million numbers is one row.
 */
import type { PlainValue } from "./manifest.ts";

/** A value of its own, or the row that describes it. */
export type ExtraPart = PlainValue | readonly [row: number];

/** What a row describes; `describe-extra-state.ts` says what is in its fields. */
export const EXTRA_ROW_TYPES = [
  "integer",
  "bytes",
  "complex",
  "tuple",
  "tensor",
  "sparse",
  "storage",
  "view",
  "list",
  "dict",
  "opaque",
] as const;

/** One value that is more than a number or a text. */
export interface ExtraRow {
  readonly type: (typeof EXTRA_ROW_TYPES)[number];
  /** Class, element type, layout, device or decimal digits. */
  readonly label: string;
  readonly numbers: readonly number[];
  readonly parts: readonly ExtraPart[];
  readonly bytes: Uint8Array | null;
}

/** Full keys with their values, in checkpoint order. */
export interface ExtraState {
  readonly entries: readonly (readonly [key: string, value: ExtraPart])[];
  readonly rows: readonly ExtraRow[];
}

/** No extra state. */
export const NO_EXTRA_STATE: ExtraState = { entries: [], rows: [] };

/** Last component of the key under which torch saves a module's extra state. Source: `_EXTRA_STATE_KEY_SUFFIX` in `torch/nn/modules/module.py`. */
const SUFFIX = "_extra_state";

/** Whether a key of a state dict is that of a module's extra state. */
export function isExtraStateKey(key: string): boolean {
  return key.endsWith(SUFFIX) && (key.length === SUFFIX.length || key[key.length - SUFFIX.length - 1] === ".");
}
