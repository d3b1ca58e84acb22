/** `rankcast plan`: what a load would do; reads no tensor bytes. */

import { explainLoad, type FetchPolicy } from "@rankcast/core";
import { type Command, InvalidArgumentError, Option } from "commander";
import { addCheckpointOptions, type CheckpointFlags, fetchOptionsOf } from "../option/checkpoint-options.ts";
import { interruptible } from "../terminal/interruption.ts";

/** Adds the verb. */
export function addPlan(program: Command): void {
  addCheckpointOptions(
    program.command("plan").argument("<weights>", "path, URL or scheme://name").summary("what a load would do: reads, segments, memory"),
  )
    .addOption(new Option("--nnodes <N>", "plan for a job of so many nodes: who reads what, who pulls from whom").argParser(nodeCountOf))
    .addOption(new Option("--fetch <policy>", "which nodes go to the origin").choices(["once-per-job", "once-per-node", "shared-fs"]))
    .action(async (weights: string, flags: PlanFlags) => {
      const { nnodes = 1, fetch = "once-per-job" } = flags;
      const { report, text } = await interruptible((signal) => explainLoad(weights, { ...fetchOptionsOf(flags), nnodes, fetch, signal }));
      process.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : `${text}\n`);
    });
}

interface PlanFlags extends CheckpointFlags {
  readonly nnodes?: number;
  readonly fetch?: FetchPolicy;
}

/** The library says which numbers there can be. */
function nodeCountOf(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("expected a number of nodes.");
}
