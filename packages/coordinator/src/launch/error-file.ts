/** Reading what a rank wrote about its end: ours, or that of a Python rank (torch's `record` decorator). */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { ErrorRecord } from "@rankcast/core/runtime";

/** What an error file says. */
export interface ErrorFile {
  /** The stack, or the message without one. */
  readonly message: string;
  /** In our form, when the rank wrote it. */
  readonly record: ErrorRecord | null;
  /** On the machine's monotonic clock; null in Python's files. */
  readonly monotonicMs: number | null;
  /** When the file was last written, Unix time. */
  readonly writtenUnixMs: number;
}

/** A rank's error is text for people; more than this is a mistake. */
const BYTES_MAX = 4 * 2 ** 20;

/** The error file's content; null when there is none or it cannot be understood (a rank that is killed may leave half of it). */
export function readErrorFile(path: string): ErrorFile | null {
  try {
    const { text, writtenUnixMs } = readWhole(path);
    const content: unknown = JSON.parse(text);
    const message = field(content, "message");
    const whole =
      typeof message === "string"
        ? message
        : (textOf(field(field(message, "extraInfo"), "py_callstack")) ?? textOf(field(message, "message")));
    if (whole === undefined) return null;
    const own = field(content, "rankcast");
    const monotonicMs = field(own, "monotonicMs");
    return {
      message: whole,
      record: recordOf(field(own, "record")),
      monotonicMs: typeof monotonicMs === "number" ? monotonicMs : null,
      writtenUnixMs,
    };
  } catch {
    return null;
  }
}

function readWhole(path: string): { text: string; writtenUnixMs: number } {
  const descriptor = openSync(path, "r");
  try {
    const { size, mtimeMs } = fstatSync(descriptor);
    const bytes = Buffer.alloc(Math.min(size, BYTES_MAX));
    const count = readSync(descriptor, bytes, 0, bytes.length, 0);
    return { text: bytes.toString("utf8", 0, count), writtenUnixMs: mtimeMs };
  } finally {
    closeSync(descriptor);
  }
}

function recordOf(value: unknown): ErrorRecord | null {
  return typeof field(value, "name") === "string" && typeof field(value, "message") === "string" ? (value as ErrorRecord) : null;
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
