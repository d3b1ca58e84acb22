/** `rankcast inspect`: what is in a checkpoint, reading headers only where the format allows. */

import { type InspectReport, inspectCheckpoint } from "@rankcast/core";
import { printable } from "@rankcast/core/runtime";
import type { Command } from "commander";
import { addCheckpointOptions, type CheckpointFlags, fetchOptionsOf } from "../option/checkpoint-options.ts";
import { formatBytes } from "../terminal/format-bytes.ts";
import { interruptible } from "../terminal/interruption.ts";

interface InspectFlags extends CheckpointFlags {
  readonly digest?: boolean;
  readonly stateDict?: boolean;
}

const NAMES_SHOWN_MAX = 10_000;

/** Adds the verb. */
export function addInspect(program: Command): void {
  addCheckpointOptions(
    program.command("inspect").argument("<weights>", "path, URL or scheme://name").summary("keys, shapes, dtypes, aliases, metadata"),
  )
    .option("--digest", "add the SHA-256 of every tensor's elements (reads all bytes)")
    .option("--state-dict", "only the state dict that a load would select, names relative to it")
    .action(async (weights: string, flags: InspectFlags) => {
      const report = await interruptible((signal) =>
        inspectCheckpoint(weights, {
          signal,
          ...fetchOptionsOf(flags),
          digest: flags.digest ?? false,
          stateDict: flags.stateDict ?? false,
          revKeys: flags.revKey ?? [],
        }),
      );
      process.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : renderInspection(report));
    });
}

/** The report as a table. */
export function renderInspection(report: InspectReport): string {
  const rows = report.tensors
    .slice(0, NAMES_SHOWN_MAX)
    .map((tensor) => [
      printable(tensor.name),
      tensor.dtype,
      `[${tensor.shape.join(", ")}]`,
      formatBytes(tensor.nbytes),
      tensor.sha256?.slice(0, 12) ?? "",
    ]);
  const widths = [0, 1, 2, 3].map((column) => Math.max(4, ...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  const hidden = report.tensors.length - rows.length;
  const total = report.tensors.reduce((sum, tensor) => sum + tensor.nbytes, 0);
  return [
    ...lines,
    ...(hidden > 0 ? [`... and ${hidden} more (use --json)`] : []),
    "",
    `${report.format}, ${formatBytes(report.bytes)} on disk, ${report.tensors.length} tensors of ${formatBytes(total)}, checksums ${report.integrity}`,
    ...report.aliases.map((names) => `one storage: ${names.map(printable).join(", ")}`),
    ...report.opaque.map(
      (value) => `${value.dangerous ? "DANGEROUS, not run" : "kept opaque"}: ${printable(value.path)} (${printable(value.global)})`,
    ),
    ...report.warnings.map((warning) => `warning: ${warning.message}`),
    "",
  ].join("\n");
}
