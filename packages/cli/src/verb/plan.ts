/** `rankcast plan`: what a load would do; reads no tensor bytes. */

import { explainLoad } from "@rankcast/core";
import type { Command } from "commander";
import { addCheckpointOptions, type CheckpointFlags, fetchOptionsOf } from "../option/checkpoint-options.ts";
import { interruptible } from "../terminal/interruption.ts";

/** Adds the verb. */
export function addPlan(program: Command): void {
  addCheckpointOptions(
    program.command("plan").argument("<weights>", "path, URL or scheme://name").summary("what a load would do: reads, segments, memory"),
  ).action(async (weights: string, flags: CheckpointFlags) => {
    const { report, text } = await interruptible((signal) => explainLoad(weights, { ...fetchOptionsOf(flags), signal }));
    process.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : `${text}\n`);
  });
}
