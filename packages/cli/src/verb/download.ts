/** `rankcast download`: into the cache; prints the path. */

import { downloadCheckpoint } from "@rankcast/core";
import type { Command } from "commander";
import { addCheckpointOptions, type CheckpointFlags, fetchOptionsOf } from "../option/checkpoint-options.ts";
import { withProgress } from "../terminal/with-progress.ts";

/** Adds the verb. */
export function addDownload(program: Command): void {
  addCheckpointOptions(
    program.command("download").argument("<weights>", "URL or scheme://name").summary("into the cache; prints the path"),
  ).action(async (weights: string, flags: CheckpointFlags) => {
    const report = await withProgress((hooks) => downloadCheckpoint(weights, { ...fetchOptionsOf(flags), ...hooks }));
    process.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : `${report.path}\n`);
  });
}
