/** `rankcast plan`: what a load would do; reads no tensor bytes. */

import { explainLoad } from "@rankcast/core";
import type { Command } from "commander";
import { addCheckpointOptions, type CheckpointFlags, fetchOptionsOf } from "../option/checkpoint-options.ts";

/** Adds the verb. */
export function addPlan(program: Command): void {
  addCheckpointOptions(
    program.command("plan").argument("<weights>", "path, URL or scheme://name").summary("what a load would do: reads, segments, memory"),
  ).action(async (weights: string, flags: CheckpointFlags) => {
    const { report, text } = await explainLoad(weights, fetchOptionsOf(flags));
    process.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : `${text}\n`);
  });
}
