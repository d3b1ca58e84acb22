/** The launcher's side of `rankcast load`: the ranks' orders in a private file, and the launch itself. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type CoordinatorEvent, launch, type RunFlagValues } from "@rankcast/coordinator/launcher";
import type { LoadReport } from "@rankcast/core";
import { DistributionError } from "@rankcast/core/launcher";
import { LOAD_REQUEST_VARIABLE, type LoadRequest, writeLoadRequest } from "./load-request.ts";

/** How to launch. */
export interface LaunchLoadOptions {
  readonly flags: RunFlagValues;
  readonly barrierTimeoutMs?: number;
  readonly onEvent: (event: CoordinatorEvent) => void;
}

/**
 * Runs the load on this node.
 * @throws {CheckpointError} the root cause when any rank fails; {UsageError} for wrong flags.
 */
export async function launchLoad(
  request: LoadRequest,
  { flags, barrierTimeoutMs, onEvent }: LaunchLoadOptions,
): Promise<{ report: LoadReport; updates: readonly LoadReport[] }> {
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
    onCoordinatorEvent: onEvent,
    ...(barrierTimeoutMs === undefined ? {} : { barrierTimeoutMs }),
  });
  const [report, ...updates] = reports;
  if (!report) throw new DistributionError("RANKCAST_PROTOCOL", "all ranks ended well, but none reported a load", {});
  return { report, updates };
}
