/** `rankcast verify`: checksums, digests and structure of everything. */

import { verifyCheckpoint } from "@rankcast/core";
import { printable } from "@rankcast/core/runtime";
import type { Command } from "commander";
import { addCheckpointOptions, type CheckpointFlags, fetchOptionsOf } from "../option/checkpoint-options.ts";
import { formatBytes } from "../terminal/format-bytes.ts";
import { withProgress } from "../terminal/with-progress.ts";

/** Adds the verb. */
export function addVerify(program: Command): void {
  addCheckpointOptions(
    program.command("verify").argument("<weights>", "path, URL or scheme://name").summary("checksums, digests and structure of everything"),
  ).action(async (weights: string, flags: CheckpointFlags) => {
    const report = await withProgress((hooks) => verifyCheckpoint(weights, { ...fetchOptionsOf(flags), ...hooks }));
    if (flags.json) {
      process.stdout.write(`${JSON.stringify(report)}\n`);
      return;
    }
    const lines = [
      `${report.weights}: ${report.format}, ${formatBytes(report.bytes)}, ${report.tensors} tensors: structure is sound`,
      {
        present: "every stored checksum matches",
        partial: "stored checksums match; some records have none",
        absent: "the format stores no checksums",
      }[report.checksums],
      ...(report.sha256 ? [`sha256 ${report.sha256}`] : []),
      ...report.opaque
        .filter(({ dangerous }) => dangerous)
        .map(({ path, global }) => `DANGEROUS, not run: ${printable(path)} (${printable(global)})`),
      ...report.warnings.map(({ message }) => `warning: ${message}`),
    ];
    process.stdout.write(`${lines.join("\n")}\n`);
  });
}
