/** Starts and supervises the ranks of one node. */
import { randomUUID } from "node:crypto";
import { rmSync } from "node:fs";
import { DistributionError, readHostFacts } from "@rankcast/core/launcher";
import { launcherVariables } from "./environment.ts";
import { compileLaunchOptions, type LaunchOptions } from "./launch-options.ts";
import { type LaunchResult, LaunchRun } from "./launch-run.ts";
import { makeRunDirectory, openLogTree } from "./log-tree.ts";
import { startWarden } from "./warden.ts";

/**
 * Runs `script` in `nprocPerNode` processes with torchrun's variables, and resolves when all have ended with exit code 0.
 *
 * Ranks succeed or fail together: the first failure stops the others (SIGTERM to their process groups, SIGKILL after the grace time)
 * and, while restarts are left, starts all of them again with a new epoch. When the launcher's own process ends, however it ends, so
 * do the ranks and everything they started. Signals to the launcher are passed on; a second one kills.
 * @throws {UsageError} RANKCAST_USAGE when an option is malformed; nothing has been started.
 * @throws {CheckpointError} the first failure: the rank's own error where it wrote one, else RANKCAST_RANK_FAILED or RANKCAST_RANK_LOST,
 * with `details.rootCause`, `details.failures` and `details.table` (torchelastic's text).
 * @throws {DistributionError} RANKCAST_INTERRUPTED after a signal (`details.exitCode` 130, 143, ...), RANKCAST_CANCELLED after an abort.
 * @example
 * const { exitCodes } = await launch({ script: "train.js", nprocPerNode: 4, maxRestarts: 3 });
 */
export async function launch(options: LaunchOptions): Promise<LaunchResult> {
  const inherited = launcherVariables();
  const compiled = compileLaunchOptions(options, inherited, readHostFacts());
  if (options.signal?.aborted === true) {
    throw new DistributionError("RANKCAST_CANCELLED", "the launch was cancelled before it started", { cause: options.signal.reason });
  }
  const runId = compiled.runId ?? randomUUID();
  const directory = makeRunDirectory();
  const warden = startWarden(directory);
  let stopListening = () => {};
  try {
    const logs = openLogTree(compiled.logDir, runId, compiled.keepsOutput, directory);
    const run = new LaunchRun({ options, compiled, runId, directory, logs, warden, inherited });
    stopListening = listen(run, compiled.signals, options.signal);
    announce(options, compiled.nprocPerNode, inherited, warden.isThere);
    return await run.run();
  } finally {
    stopListening();
    rmSync(directory, { recursive: true, force: true });
    await warden.close();
  }
}

function listen(run: LaunchRun, signals: readonly NodeJS.Signals[], abort: AbortSignal | undefined): () => void {
  const onSignal = (signal: NodeJS.Signals) => run.interrupt(signal, "signal");
  const onAbort = () => run.interrupt("SIGTERM", "caller");
  for (const signal of signals) process.on(signal, onSignal);
  abort?.addEventListener("abort", onAbort, { once: true });
  return () => {
    for (const signal of signals) process.off(signal, onSignal);
    abort?.removeEventListener("abort", onAbort);
  };
}

function announce(
  options: LaunchOptions,
  nprocPerNode: number,
  inherited: { readonly [name: string]: string | undefined },
  hasWarden: boolean,
): void {
  if (nprocPerNode > 1 && inherited["OMP_NUM_THREADS"] === undefined && options.env?.["OMP_NUM_THREADS"] === undefined) {
    options.onEvent?.({
      type: "notice",
      message: `OMP_NUM_THREADS is set to 1 for each of ${nprocPerNode} ranks; set it yourself to tune it`,
    });
  }
  if (!hasWarden) {
    options.onEvent?.({
      type: "notice",
      message: "no /bin/sh: ranks that are busy or no Node programs may outlive a launcher that is killed",
    });
  }
}
