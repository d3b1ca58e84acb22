/**
 * Preloaded into every Node rank (`node --import`), and importable by programs that are started otherwise. It does two things for
 * the launcher: ends the process when the launcher is gone, and writes the error that ends the process to torchelastic's error file.
 * Without a launcher, in worker threads and in processes that a rank forks, it does nothing.
 */
import { fstatSync, writeFileSync } from "node:fs";
import { Socket } from "node:net";
import { isMainThread } from "node:worker_threads";
import { takeGuardVariables } from "./environment.ts";

/** Time to end in an orderly way once the launcher is gone. */
const GRACE_MS = 1000;
const CAUSE_DEPTH_MAX = 16;

if (isMainThread) startGuard();

function startGuard(): void {
  const variables = takeGuardVariables();
  if (variables === null) return;
  watchLauncher(variables.descriptor);
  const { errorFile } = variables;
  if (errorFile === "") return;
  // Only looks on: what Node does about the error (print it, exit code 1) stays as it is.
  process.on("uncaughtExceptionMonitor", (error) => recordFailure(error, errorFile));
}

/** The launcher holds the other end of the descriptor; the kernel closes it whatever happens to the launcher. */
function watchLauncher(descriptor: number): void {
  try {
    // bigint: the other form leaves "socket" in a buffer that Node 20's realpathSync reads by mistake; modules behind symlinks would then be
    // resolved from the link's place, and not be found.
    if (!fstatSync(descriptor, { bigint: true }).isSocket()) return;
  } catch {
    return;
  }
  const launcher = new Socket({ fd: descriptor, readable: true, writable: false });
  launcher.on("error", () => {});
  launcher.once("close", endOwnGroup);
  launcher.resume();
  // Watching must not keep a finished program alive.
  launcher.unref();
}

function endOwnGroup(): void {
  setTimeout(() => signalOwnGroup("SIGKILL"), GRACE_MS);
  signalOwnGroup("SIGTERM");
}

function signalOwnGroup(signal: NodeJS.Signals): void {
  try {
    process.kill(-process.pid, signal);
  } catch {
    process.kill(process.pid, signal);
  }
}

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
}

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
  };
}
