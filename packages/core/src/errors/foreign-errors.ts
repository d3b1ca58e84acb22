/** Errors that are not ours (a user's TypeError, say) as plain data and back: class, fields and text survive as far as plain data can hold them. */

/** A field of a foreign error that is worth keeping: a number or a short text says what happened, an object graph does not. */
export type ForeignField = string | number | boolean | null;

/** What a foreign error has beyond name, message, stack and cause. */
export interface ForeignParts {
  /** Name of the nearest class of the language; absent for plain `Error`. */
  readonly base?: string;
  /** Own enumerable fields with plain values. */
  readonly fields?: { readonly [name: string]: ForeignField };
}

type ErrorConstructorLike = new (message: string, options?: { cause?: unknown }) => Error;

/** The language's own classes whose constructors take a message first. */
const BASES: ReadonlyMap<string, ErrorConstructorLike> = new Map(
  [TypeError, RangeError, SyntaxError, ReferenceError, URIError, EvalError].map((each) => [each.name, each]),
);

/** Its constructor takes the errors first. */
const AGGREGATE = "AggregateError";

const FIELDS_MAX = 32;
const FIELD_CHARACTERS_MAX = 1000;
/** Fields that the record itself holds. */
const OWN_PLACES = new Set(["name", "message", "stack", "cause", "code", "errors"]);

/** The parts of an error that is not ours. */
export function foreignParts(error: Error): ForeignParts {
  const base = error instanceof AggregateError ? AGGREGATE : [...BASES].find(([, each]) => error instanceof each)?.[0];
  const fields = Object.entries(error)
    .filter((entry): entry is [string, ForeignField] => !OWN_PLACES.has(entry[0]) && isPlain(entry[1]))
    .slice(0, FIELDS_MAX);
  return { ...(base === undefined ? {} : { base }), ...(fields.length === 0 ? {} : { fields: Object.fromEntries(fields) }) };
}

/** A foreign error of the same language class with the same name and fields. Names of unknown classes stay names. */
export function buildForeignError(
  name: string,
  message: string,
  { base, fields }: ForeignParts,
  { cause, errors }: { readonly cause: unknown; readonly errors: readonly unknown[] },
): Error {
  const BaseError = BASES.get(base ?? "") ?? Error;
  const options = cause === undefined ? undefined : { cause };
  const error = base === AGGREGATE ? new AggregateError(errors, message, options) : new BaseError(message, options);
  if (error.name !== name) Object.defineProperty(error, "name", { value: name, configurable: true, writable: true });
  for (const [field, value] of Object.entries(fields ?? {})) {
    // Defined, not assigned: a field called __proto__ must stay a field.
    Object.defineProperty(error, field, { value, enumerable: true, configurable: true, writable: true });
  }
  return error;
}

/** A text for anything that may be thrown; never throws itself (`String` of an object without a prototype does). */
export function describeThrown(thrown: unknown): string {
  try {
    return String(thrown);
  } catch {
    return `a thrown ${typeof thrown} that has no text`;
  }
}

function isPlain(value: unknown): value is ForeignField {
  if (typeof value === "string") return value.length <= FIELD_CHARACTERS_MAX;
  return value === null || typeof value === "number" || typeof value === "boolean";
}
