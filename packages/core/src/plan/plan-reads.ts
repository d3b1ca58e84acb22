/** Which bytes of which files a load brings into memory, before it does it. */
import type { StateDictManifest } from "../manifest/manifest.ts";
import type { LoadPlan } from "./load-plan.ts";

/** A run of bytes of one file. */
export interface PlannedRead {
  /** Index into the manifest's sources. */
  readonly source: number;
  readonly offset: number;
  readonly nbytes: number;
}

/** What lies between records (headers, padding) costs less to read than a second request. */
const GAP_BYTES_MAX = 64 * 1024;

/** Reads in order of file and offset, neighbours joined. What is mapped in place is not read. */
export function planReads(manifest: StateDictManifest, plan: LoadPlan): PlannedRead[] {
  const wanted: PlannedRead[] = [];
  for (const [index, { pieces }] of manifest.storages.entries()) {
    const placement = plan.placements[index];
    if (!placement || plan.segments[placement.segment]?.kind === "file") continue;
    for (const { extent } of pieces) {
      if (extent.type === "range") wanted.push({ source: extent.source, offset: extent.offset, nbytes: extent.storedBytes });
    }
  }
  wanted.sort((a, b) => a.source - b.source || a.offset - b.offset);
  const reads: PlannedRead[] = [];
  for (const next of wanted) {
    const last = reads.at(-1);
    const end = last ? last.offset + last.nbytes : 0;
    if (!last || last.source !== next.source || next.offset > end + GAP_BYTES_MAX) reads.push(next);
    else reads[reads.length - 1] = { ...last, nbytes: Math.max(end, next.offset + next.nbytes) - last.offset };
  }
  return reads;
}
