/**
 * Preloaded into every Node rank (`node --import`), and importable by programs that are started otherwise. It does two things for
 * the launcher: ends the process when the launcher is gone, and writes the error that ends the process to torchelastic's error file.
 * Without a launcher, in worker threads and in processes that a rank forks, it does nothing.
 */
import { fstatSync } from "node:fs";
import { Socket } from "node:net";
import { isMainThread } from "node:worker_threads";
import { takeGuardVariables } from "./environment.ts";
import { recordFailure } from "./record-failure.ts";

/** Time to end in an orderly way once the launcher is gone. */
const GRACE_MS = 1000;

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
