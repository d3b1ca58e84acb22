/** A failure as people and programs read it. Never a stack trace: a stack says nothing to somebody whose file is missing. */
import { styleText } from "node:util";
import type { ErrorDetails } from "@rankcast/core";
import { CheckpointError, describeError, printable } from "@rankcast/core/launcher";

/** Where and how to print. */
export interface ErrorSink {
  readonly json: boolean;
  readonly colour: boolean;
  write(text: string): void;
}

/** Prints `error`; with `json` the last line is `{"error": …}`. */
export function printError(error: unknown, sink: ErrorSink): void {
  const described = describeError(error);
  const style = (format: "red" | "bold" | "dim", text: string): string =>
    sink.colour ? styleText(format, text, { validateStream: false }) : text;
  if (sink.json) {
    sink.write(`${JSON.stringify({ error: described })}\n`);
    return;
  }
  const lines = [`${style("red", "error")} ${style("dim", `${described.class} ${described.code}`)}`, ...indented(described.message)];
  const table = rootCauseTable(described.details);
  if (table.length > 0) lines.push("", ...table.map((line) => `  ${line}`));
  if (described.cause && !described.message.includes(oneLine(described.cause.message)))
    lines.push(style("dim", `  cause: ${oneLine(described.cause.message)}`));
  if (described.remedy) lines.push(`  ${style("bold", "What to do:")} ${described.remedy}`);
  sink.write(`${lines.join("\n")}\n`);
}

function indented(text: string): string[] {
  return text.split("\n").map((line) => `  ${printable(line)}`);
}

function oneLine(text: string): string {
  return printable(text.split("\n")[0] ?? "");
}

/** The rank, or the node, that failed first. */
function rootCauseTable(details: ErrorDetails): string[] {
  const cause = details["rootCause"] as ErrorDetails | undefined;
  if (!cause || (typeof cause["rank"] !== "number" && typeof cause["nodeRank"] !== "number")) return [];
  const rows = [
    ["rank", "node", "host", "pid", "code"],
    [cause["rank"], cause["nodeRank"], cause["host"], cause["pid"], cause["code"]].map((value) => String(value ?? "-")),
  ];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return [
    "First failure:",
    ...rows.map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    ),
  ];
}

/** Exit code of a failure: 2 for wrong usage, 1 for everything else. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof CheckpointError)) return 1;
  // A launcher that was interrupted ends as its signal says: 130, 143.
  const { exitCode } = error.details;
  return typeof exitCode === "number" ? exitCode : error.class === "usage" ? 2 : 1;
}
