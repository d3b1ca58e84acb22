/** The table that torchelastic prints when a job fails; layout of `torch/distributed/elastic/multiprocessing/errors/__init__.py`. */
import { printable } from "@rankcast/core/launcher";
import type { RankFailure } from "./launch-event.ts";

const WIDTH_MAX = 60;

/** The failures of one attempt as text, the root cause last. `name` is the program. */
export function renderFailureTable(name: string, failures: readonly RankFailure[], root: RankFailure): string {
  const sorted = [...failures].sort((a, b) => a.rank - b.rank);
  const blocks = sorted.map(renderFailure);
  const title = `${printable(name)} FAILED`;
  const longest = Math.max(title.length, ...blocks.flatMap((block) => block.split("\n").map((line) => line.length)));
  const width = Math.min(longest, WIDTH_MAX);
  const others = blocks.filter((_, index) => sorted[index] !== root);
  return [
    "=".repeat(width),
    title,
    "-".repeat(width),
    "Failures:",
    ...(others.length === 0 ? ["  <NO_OTHER_FAILURES>"] : others),
    "-".repeat(width),
    "Root Cause (first observed failure):",
    ...blocks.filter((_, index) => sorted[index] === root),
    "=".repeat(width),
  ].join("\n");
}

function renderFailure(failure: RankFailure, index: number): string {
  const { failedUnixMs, host, rank, localRank, exitCode, pid, errorFile, message } = failure;
  const lines = message.split("\n").map(printable);
  return [
    `[${index}]:`,
    `  time      : ${localTime(failedUnixMs)}`,
    `  host      : ${printable(host)}`,
    `  rank      : ${rank} (local_rank: ${localRank})`,
    `  exitcode  : ${exitCode} (pid: ${pid ?? "none"})`,
    `  error_file: ${errorFile ?? "<N/A>"}`,
    `  traceback : ${lines.join("\n  ")}`,
  ].join("\n");
}

/** `2026-11-23_18:40:22`, as Python's `isoformat(sep="_")` in local time. */
function localTime(unixMs: number): string {
  const date = new Date(unixMs);
  const two = (value: number) => String(value).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day}_${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
