/** Options of public functions, checked where they come in: programs in plain JavaScript have no compiler that does it. */
import { UsageError } from "./checkpoint-error.ts";
import { printable } from "./quote.ts";

/** What an option may be. */
export interface OptionShape {
  /** Ends the sentence "… must be": `true or false`. */
  readonly expected: string;
  fits(value: unknown): boolean;
}

/** Options by name. */
export type OptionShapes = ReadonlyMap<string, OptionShape>;

const FOUND_CHARS_MAX = 60;

/** A text. */
export const TEXT: OptionShape = { expected: "a string", fits: (value) => typeof value === "string" };
/** A switch. Not the texts "true" and "false": both would be true. */
export const FLAG: OptionShape = { expected: "true or false", fits: (value) => typeof value === "boolean" };
/** A callback. */
export const FUNCTION: OptionShape = { expected: "a function", fits: (value) => typeof value === "function" };
/** Texts in an array. */
export const TEXTS: OptionShape = {
  expected: "an array of strings",
  fits: (value) => Array.isArray(value) && value.every((each) => typeof each === "string"),
};
/** A shape. */
export const COUNTS: OptionShape = {
  expected: "an array of whole numbers",
  fits: (value) => Array.isArray(value) && value.every((each) => Number.isInteger(each)),
};
/** A plain object. Maps and dates are objects whose entries nobody would look at. */
export const OBJECT: OptionShape = { expected: "a plain object", fits: isPlainObject };
/** A plain object of texts. */
export const TEXTS_BY_NAME: OptionShape = {
  expected: "a plain object of strings",
  fits: (value) => isPlainObject(value) && Object.values(value).every((each) => typeof each === "string"),
};
/** An AbortSignal, or what has its methods: signals of other realms and polyfills are none by `instanceof`. */
export const SIGNAL: OptionShape = {
  expected: "an AbortSignal",
  fits: (value) =>
    typeof value === "object" && value !== null && "aborted" in value && "throwIfAborted" in value && "addEventListener" in value,
};
/** Milliseconds that are waited: more than none. */
export const DURATION_MS: OptionShape = {
  expected: "a number of milliseconds above 0",
  fits: (value) => typeof value === "number" && value > 0,
};

/** A port; 0 finds a free one. */
export const PORT: OptionShape = wholeNumber(0, 65_535);

/** One of some texts. */
export function oneOf(...known: readonly string[]): OptionShape {
  const expected = known.length === 2 ? known.join(" or ") : `${known.slice(0, -1).join(", ")} or ${known.at(-1)}`;
  return { expected, fits: (value) => typeof value === "string" && known.includes(value) };
}

/** A whole number between two bounds, both included. */
export function wholeNumber(least: number, most: number): OptionShape {
  const fits = (value: unknown): boolean => typeof value === "number" && Number.isInteger(value) && value >= least && value <= most;
  return { expected: `a whole number from ${least} to ${most}`, fits };
}

/** Either of two shapes. */
export function either(one: OptionShape, other: OptionShape): OptionShape {
  return { expected: `${one.expected} or ${other.expected}`, fits: (value) => one.fits(value) || other.fits(value) };
}

/**
 * Options that are left out or undefined are fine; names that are not in `shapes` are somebody else's.
 * @throws {UsageError} RANKCAST_USAGE naming the first option that is wrong, what it must be and what it is.
 */
export function requireOptions(options: unknown, shapes: OptionShapes): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) throw wrong("options", "an object", options);
  for (const [name, { expected, fits }] of shapes) {
    const value: unknown = Reflect.get(options, name);
    if (value !== undefined && !fits(value)) throw wrong(name, expected, value);
  }
}

/**
 * An argument that has a place instead of a name.
 * @throws {UsageError} RANKCAST_USAGE naming it.
 */
export function requireArgument(name: string, value: unknown, { expected, fits }: OptionShape): void {
  if (!fits(value)) throw wrong(name, expected, value);
}

/** A value as a message shows it: short, printable, and whatever it is. */
export function describeFound(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(printable(value.slice(0, FOUND_CHARS_MAX)));
  if (typeof value === "function") return "a function";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object" && value !== null) return isPlainObject(value) ? "an object" : `a ${nameOf(value)}`;
  return String(value);
}

function nameOf(value: object): string {
  const { constructor: made } = value as { readonly constructor?: unknown };
  return typeof made === "function" && made.name !== "" ? printable(made.name.slice(0, FOUND_CHARS_MAX)) : "thing of no class";
}

function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  // Objects of another realm (a vm, a test runner) have another Object.prototype, which has no prototype itself.
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function wrong(option: string, expected: string, found: unknown): UsageError {
  return new UsageError("RANKCAST_USAGE", `${option} must be ${expected}, not ${describeFound(found)}`, { details: { option, expected } });
}
