/** `rankcast convert`: any readable checkpoint to safetensors. */

import { convertCheckpoint } from "@rankcast/core";
import { printable } from "@rankcast/core/runtime";
import type { Command } from "commander";
import { addCheckpointOptions, type CheckpointFlags, fetchOptionsOf, revKeysOf } from "../option/checkpoint-options.ts";
import { formatBytes } from "../terminal/format-bytes.ts";
import { withProgress } from "../terminal/with-progress.ts";

/** Adds the verb. */
export function addConvert(program: Command): void {
  const command = program
    .command("convert")
    .argument("<weights>", "path, URL or scheme://name")
    .argument("<out.safetensors>", "the file to write");
  addCheckpointOptions(command.summary("tensors of the selected state dict to safetensors")).action(
    async (weights: string, output: string, flags: CheckpointFlags) => {
      const { dtype } = flags;
      const options = { ...fetchOptionsOf(flags), revKeys: revKeysOf(flags), ...(dtype === undefined ? {} : { dtype }) };
      const report = await withProgress((hooks) => convertCheckpoint(weights, output, { ...options, ...hooks }));
      const lossy = report.casts.filter(({ loss }) => loss !== "lossless").length;
      const { length: left } = report.omitted;
      const omitted =
        left === 0
          ? ""
          : `; left out, because they are no tensors: ${report.omitted.slice(0, 3).map(printable).join(", ")}${left > 3 ? `, … (${left})` : ""}`;
      const text = `${report.output}: ${report.tensors} tensors, ${formatBytes(report.bytes)}, ${report.renamed} renamed, ${report.casts.length} cast (${lossy} may lose precision)${omitted}`;
      process.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : `${text}\n`);
    },
  );
}
