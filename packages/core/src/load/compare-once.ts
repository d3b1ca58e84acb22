/** Compares stored checksums of mapped files, unless the same ranges of the same unchanged files were compared before. */
import { createHash } from "node:crypto";
import { readEnvironment } from "../environment/environment.ts";
import type { StateDictManifest } from "../manifest/manifest.ts";
import type { LoadPlan } from "../plan/load-plan.ts";
import type { BuiltSegments } from "../segment/build-segments.ts";
import { cacheLayout } from "../source/cache-layout.ts";
import { type CheckedFile, rememberCompared, wereCompared } from "../source/checksum-memory.ts";
import { newReadStats, type ReadStats } from "../source/counting-source.ts";
import { type FileMark, markOf } from "../source/file-mark.ts";

/** What a comparison is about. */
export interface Comparison {
  readonly manifest: StateDictManifest;
  readonly plan: LoadPlan;
  readonly built: BuiltSegments;
  readonly verify: boolean;
  readonly cacheDir: string | undefined;
}

/**
 * Compares, or knows better.
 * @throws {FormatError} class integrity when a checksum differs; nothing is remembered then.
 */
export async function compareOnce({ manifest, plan, built, verify, cacheDir }: Comparison): Promise<ReadStats> {
  const files = verify ? checkedFiles(manifest, plan) : [];
  if (files.length === 0) return built.verifyMapped();
  const layout = cacheLayout(readEnvironment(), cacheDir);
  if (await wereCompared(layout, files)) return newReadStats();
  const marks = await marksOf(files);
  const stats = await built.verifyMapped();
  await rememberCompared(layout, files, marks);
  return stats;
}

/** Files that are mapped and have checksums, each with a digest of what is to be compared. */
function checkedFiles(manifest: StateDictManifest, plan: LoadPlan): CheckedFile[] {
  const hashes = new Map<number, ReturnType<typeof createHash>>();
  plan.placements.forEach((placement, index) => {
    if (!placement || plan.segments[placement.segment]?.kind !== "file") return;
    for (const { extent } of manifest.storages[index]?.pieces ?? []) {
      if (extent.type !== "range" || extent.crc32 === null) continue;
      const hash = hashes.get(extent.source) ?? createHash("sha256");
      hashes.set(extent.source, hash.update(`${extent.offset} ${extent.storedBytes} ${extent.crc32}\n`));
    }
  });
  return [...hashes].flatMap(([source, hash]) => {
    const path = manifest.sources[source]?.path;
    return path === undefined ? [] : [{ path, ranges: hash.digest("hex") }];
  });
}

/** The files as they are before anything is compared. */
async function marksOf(files: readonly CheckedFile[]): Promise<Map<string, FileMark>> {
  const marks = await Promise.all(files.map(async ({ path }) => [path, await markOf(path)] as const));
  return new Map(marks.flatMap(([path, mark]) => (mark === null ? [] : [[path, mark] as const])));
}
