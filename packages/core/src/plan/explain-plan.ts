/** A plan as text for people. */
import type { StateDictManifest } from "../manifest/manifest.ts";
import type { LoadPlan } from "./load-plan.ts";

/** One line per segment and a summary; sizes in bytes. */
export function explainPlan(manifest: StateDictManifest, plan: LoadPlan): string {
  const lines = plan.segments.map((segment, index) => {
    const members = plan.placements.filter((placement) => placement?.segment === index).length;
    const where =
      segment.kind === "file"
        ? `maps bytes ${segment.offset}-${segment.offset + segment.nbytes} of ${manifest.sources[segment.source]?.name ?? "?"}`
        : "is filled in memory";
    return `segment ${index}: ${members} storages, ${segment.nbytes} bytes, ${where}`;
  });
  return [
    `${manifest.tensors.length} tensors over ${manifest.storages.length} storages (${manifest.format})`,
    ...lines,
    `used in place: ${plan.mappedBytes} bytes; brought into memory once per node: ${plan.copiedBytes} bytes`,
  ].join("\n");
}
