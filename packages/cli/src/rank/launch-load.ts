/** The launcher's side of `rankcast load`: the ranks' orders in a private file, and the launch itself. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type CoordinatorEvent, launch, type RunFlagValues } from "@rankcast/coordinator/launcher";
import { DistributionError, LoadReport } from "@rankcast/core/launcher";
import { LOAD_REQUEST_VARIABLE, type LoadRequest, writeLoadRequest } from "./load-request.ts";

/** How to launch. */
export interface LaunchLoadOptions {
  readonly flags: RunFlagValues;
  readonly barrierTimeoutMs?: number;
  readonly onEvent: (event: CoordinatorEvent) => void;
  /** Hears once what was loaded, as soon as no rank can fail any more: what is left then is to clean up. */
  readonly onLoaded: (report: LoadReport, updates: readonly LoadReport[]) => void;
}

/**
 * Runs the load on this node; resolves when nothing of it is left.
 * @throws {CheckpointError} the root cause when any rank fails; {UsageError} for wrong flags.
 */
export async function launchLoad(request: LoadRequest, { flags, barrierTimeoutMs, onEvent, onLoaded }: LaunchLoadOptions): Promise<void> {
  let running = 0;
  let loaded: LoadReport | null = null;
  let told = false;
  const { reports } = await launch({
    // Not worth a wait: ranks of a load end by themselves, or have failed.
    graceSeconds: 5,
    ...flags,
    script: fileURLToPath(new URL("./rank-main.js", import.meta.url)),
    beforeSpawn: ({ directory }) => {
      // In the launch's own folder, which goes away with the launcher even when it is killed.
      const path = join(directory, "request");
      writeLoadRequest(path, request);
      return { env: { [LOAD_REQUEST_VARIABLE]: path } };
    },
    // stdout belongs to the report.
    output: { stdout: process.stderr, stderr: process.stderr },
    onCoordinatorEvent: (event) => {
      if (event.type === "report") loaded = new LoadReport(event.report);
      onEvent(event);
    },
    onEvent: (event) => {
      if (event.type === "starting") running = event.worldSize;
      if (event.type !== "exited" || event.exitCode !== 0 || event.stopped) return;
      running -= 1;
      // With several nodes only all launchers together know this, and with updates there are more reports: both wait for the end.
      if (running > 0 || request.updates > 0 || loaded === null) return;
      told = true;
      onLoaded(loaded, []);
    },
    ...(barrierTimeoutMs === undefined ? {} : { barrierTimeoutMs }),
  });
  const [report, ...updates] = reports;
  if (!report) throw new DistributionError("RANKCAST_PROTOCOL", "all ranks ended well, but none reported a load", {});
  if (!told) onLoaded(report, updates);
}
