/** What resolving weights gave, for tests that expect files. */

import { StateDict } from "@rankcast/core";
import { type ResolvedSource, readBytes } from "@rankcast/core/internal";

/** The source, which must be files and no state dict. */
export function expectFiles(source: ResolvedSource | StateDict): ResolvedSource {
  if (source instanceof StateDict) throw new Error("expected files");
  return source;
}

/** All bytes of the entry file; closes the source. */
export async function entryBytes(source: ResolvedSource): Promise<Buffer> {
  const { entry } = source;
  if (entry === null) throw new Error("expected an entry");
  const all = Buffer.from(await readBytes(entry, 0, entry.sizeBytes));
  await source.close();
  return all;
}
