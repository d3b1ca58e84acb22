/** `rankcast diff`: keys, shapes, dtypes, values. */

import { diffCheckpoints } from "@rankcast/core";
import { printable } from "@rankcast/core/runtime";
import type { Command } from "commander";
import { addCheckpointOptions, type CheckpointFlags, fetchOptionsOf } from "../option/checkpoint-options.ts";
import { interruptible } from "../terminal/interruption.ts";

/** Adds the verb. Exit code 1 when they differ, as `diff` does. */
export function addDiff(program: Command): void {
  addCheckpointOptions(program.command("diff").argument("<a>").argument("<b>").summary("keys, shapes, dtypes, values")).action(
    async (a: string, b: string, flags: CheckpointFlags) => {
      const report = await interruptible((signal) =>
        diffCheckpoints(a, b, { ...fetchOptionsOf(flags), revKeys: flags.revKey ?? [], signal }),
      );
      if (flags.json) process.stdout.write(`${JSON.stringify(report)}\n`);
      else {
        const lines = report.differences.map(
          ({ name, kind, a: left = "-", b: right = "-" }) => `${kind.padEnd(9)}  ${printable(name)}  ${left}  ${right}`,
        );
        process.stdout.write(`${[...lines, `${report.equal} equal, ${report.differences.length} different`].join("\n")}\n`);
      }
      if (report.differences.length > 0) process.exitCode = 1;
    },
  );
}
