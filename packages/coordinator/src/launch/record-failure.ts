/** Writing the error that ends a rank to torchelastic's error file. Loads nothing: it is there before every rank's own program. */
import { writeFileSync } from "node:fs";

const CAUSE_DEPTH_MAX = 16;

/**
 * Writes an error the way torch's `record` decorator does (`torch/distributed/elastic/multiprocessing/errors/error_handler.py`), with
 * our own fields beside it. A rank that catches its error and exits by itself may call this first.
 */
export function recordFailure(error: unknown, errorFile: string): void {
  const { name, message, stack } = describe(error, 0);
  const content = {
    message: {
      message: `${name}: ${message}`,
      extraInfo: { py_callstack: stack ?? `${name}: ${message}`, timestamp: String(Math.floor(Date.now() / 1000)) },
    },
    // The monotonic clock is the machine's: it orders failures of several processes, which seconds of wall-clock time do not.
    rankcast: { monotonicMs: Number(process.hrtime.bigint()) / 1e6, record: describe(error, 0) },
  };
  try {
    writeFileSync(errorFile, JSON.stringify(content));
  } catch {
    // The process is ending with a better error than this one.
  }
}

interface Description {
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
  readonly code?: string;
  readonly cause?: Description;
  readonly remedy?: unknown;
  readonly details?: unknown;
  readonly base?: string;
  readonly fields?: { readonly [name: string]: unknown };
}

/** As in core's `foreign-errors.ts`: what is kept of errors that are not ours. */
const BASES = [TypeError, RangeError, SyntaxError, ReferenceError, URIError, EvalError];
const OWN_PLACES = new Set(["name", "message", "stack", "cause", "code", "errors"]);
const FIELDS_MAX = 32;
const FIELD_CHARACTERS_MAX = 1000;

/** The record that core's `fromErrorRecord` reads. Made here and not there, because this module starts before every rank and loads nothing. */
function describe(error: unknown, depth: number): Description {
  if (!(error instanceof Error)) return { name: "Error", message: String(error) };
  const { code, remedy, details } = error as { code?: unknown; remedy?: unknown; details?: unknown };
  return {
    name: error.name,
    message: error.message,
    ...(typeof code === "string" ? { code } : {}),
    ...(typeof error.stack === "string" ? { stack: error.stack } : {}),
    ...(error.cause !== undefined && depth < CAUSE_DEPTH_MAX ? { cause: describe(error.cause, depth + 1) } : {}),
    ...(typeof remedy === "string" ? { remedy } : {}),
    ...(typeof details === "object" && details !== null ? { details } : {}),
    ...(typeof remedy === "string" ? {} : foreignParts(error)),
  };
}

function foreignParts(error: Error): Pick<Description, "base" | "fields"> {
  const base = BASES.find((each) => error instanceof each)?.name;
  const fields = Object.entries(error)
    .filter(([name, value]) => !OWN_PLACES.has(name) && isPlain(value))
    .slice(0, FIELDS_MAX);
  return { ...(base === undefined ? {} : { base }), ...(fields.length === 0 ? {} : { fields: Object.fromEntries(fields) }) };
}

function isPlain(value: unknown): boolean {
  if (typeof value === "string") return value.length <= FIELD_CHARACTERS_MAX;
  return value === null || typeof value === "number" || typeof value === "boolean";
}
