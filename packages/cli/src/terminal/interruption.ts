/** Ctrl-C and SIGTERM of verbs that are one process; `run` and `load` have the launcher's own way. */
import { DistributionError } from "@rankcast/core/launcher";
import { exitCodeOf } from "./print-error.ts";

const EXIT_CODES: ReadonlyMap<NodeJS.Signals, number> = new Map([
  ["SIGINT", 130],
  ["SIGTERM", 143],
]);

/** Time in which work may put things in order: a temporary file is removed, a partial download is kept for going on with. */
const ORDER_MS = 2_000;

/** What a signal is as a failure: RANKCAST_INTERRUPTED with `details.exitCode` 130 or 143. */
export function interruption(name: NodeJS.Signals): DistributionError {
  return new DistributionError("RANKCAST_INTERRUPTED", `${name} received`, {
    details: { signal: name, exitCode: EXIT_CODES.get(name) ?? 1 },
  });
}

/**
 * Runs `work`. A signal aborts its `signal`; when the work has ended, or after two seconds, this rejects. A second signal ends the process at once.
 * @throws {DistributionError} RANKCAST_INTERRUPTED with `details.exitCode` 130 or 143; otherwise what `work` throws.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const cancel = new AbortController();
  let interrupted: DistributionError | null = null;
  let giveUp: (error: DistributionError) => void = () => undefined;
  const tooSlow = new Promise<never>((_, reject) => {
    giveUp = reject;
  });
  tooSlow.catch(() => undefined);
  const onSignal = (name: NodeJS.Signals): void => {
    const error = interruption(name);
    if (interrupted) process.exit(exitCodeOf(error));
    interrupted = error;
    cancel.abort(error);
    setTimeout(() => giveUp(error), ORDER_MS).unref();
  };
  for (const name of EXIT_CODES.keys()) process.on(name, onSignal);
  try {
    return await Promise.race([work(cancel.signal), tooSlow]);
  } catch (error) {
    throw interrupted ?? error;
  } finally {
    for (const name of EXIT_CODES.keys()) process.off(name, onSignal);
  }
}
