/** Checks of arguments that a pickle hands to known globals. */

import type { FormatError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { TreeList, type TreeValue } from "../manifest/checkpoint-tree.ts";
import { kindOf } from "./container-opcodes.ts";
import type { PickleCall } from "./known-global.ts";
import { ByteString, IntegralFloat } from "./unsettled.ts";

/** An error for arguments that do not fit; `what` says which and what was expected. */
export function badArgument(call: PickleCall, what: string, found: TreeValue | undefined): FormatError {
  return call.refuse("RANKCAST_PICKLE_CALL", `${what}, not ${found === undefined ? "nothing" : describe(found)}`);
}

/** A value for messages: texts and numbers as they are, everything else by its kind. */
export function describe(value: TreeValue): string {
  if (typeof value === "string") return quote(value);
  if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean") return String(value).slice(0, 40);
  return kindOf(value);
}

/** The elements of a tuple, list or torch.Size. */
export function sequence(value: TreeValue | undefined, what: string, call: PickleCall): readonly TreeValue[] {
  if (value instanceof TreeList && (value.type === "tuple" || value.type === "list" || value.type === "Size")) return value.elements;
  throw badArgument(call, `${what} is a tuple`, value);
}

/** A text; Python 2's byte strings are decoded. */
export function textOf(value: TreeValue | undefined): string | null {
  if (typeof value === "string") return value;
  return (value as unknown) instanceof ByteString ? (value as unknown as ByteString).text : null;
}

/** A Python int or float as a number. */
export function floatOf(value: TreeValue | undefined): number | null {
  if (typeof value === "number") return value;
  if (typeof value === "bigint") return Number(value);
  return (value as unknown) instanceof IntegralFloat ? (value as unknown as IntegralFloat).number : null;
}

/** A count: an int from 0 to 2^53-1, written as an int. Null for anything else, `3.0` and `True` among it. */
export function countOf(value: TreeValue | undefined): number | null {
  return typeof value === "number" && value >= 0 && Number.isSafeInteger(value) ? value : null;
}
