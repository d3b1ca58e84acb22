/** A whole load report as text for people. */
import { printable } from "../errors/quote.ts";
import type { LoadReportFields, RankReport } from "./load-report.ts";
import { renderReplica } from "./render-replica.ts";
import type { ReplicaReport } from "./replica-report.ts";

/** The job's line, then one table per distinct outcome: replicas of one model have the same, so it is said once. */
export function renderReport(report: LoadReportFields): string {
  const outcomes = distinctOutcomes(report.ranks);
  const lines = report.weights === "" ? [] : [headerOf(report)];
  for (const { replica, places } of outcomes) {
    if (outcomes.length > 1) lines.push(`${placesText(places)}:`);
    lines.push(renderReplica(replica));
  }
  for (const warning of report.warnings) lines.push(`warning: ${printable(warning.message)}`);
  return lines.join("\n");
}

function headerOf(report: LoadReportFields): string {
  const replicas = report.ranks.reduce((sum, rank) => sum + rank.replicas.length, 0);
  const parts = [
    `${printable(report.weights)} (${report.format}, ${formatBytes(report.bytes)})`,
    `${plural(report.worldSize, "rank")}, ${plural(replicas, "replica")}, ${plural(report.nodes, "node")}`,
    `generation ${report.generation}`,
    ...(report.timings.totalMs > 0 ? [`${(report.timings.totalMs / 1000).toFixed(2)} s`] : []),
  ];
  return parts.join(" · ");
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** `512 B`, `1.5 MiB`: three significant places at most. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : Number(value.toPrecision(3))} ${units[unit]}`;
}

interface Outcome {
  readonly replica: ReplicaReport;
  readonly places: { readonly rank: number; readonly replica: number }[];
}

function distinctOutcomes(ranks: readonly RankReport[]): Outcome[] {
  const outcomes = new Map<string, Outcome>();
  for (const rank of ranks) {
    for (const replica of rank.replicas) {
      const { index, digest: _, ...outcome } = replica;
      const text = JSON.stringify({ ...outcome, index: 0 });
      const known = outcomes.get(text);
      if (known) known.places.push({ rank: rank.rank, replica: index });
      else outcomes.set(text, { replica, places: [{ rank: rank.rank, replica: index }] });
    }
  }
  return [...outcomes.values()];
}

function placesText(places: Outcome["places"]): string {
  return places.map(({ rank, replica }) => `rank ${rank} replica ${replica}`).join(", ");
}
