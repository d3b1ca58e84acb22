/** Resolved files of which some are still being downloaded. */
import type { Arrival, ByteSource, ResolvedSource } from "../source/byte-source.ts";

/** Files as they are handed to readers, and what of them is on its way. */
export interface WatchedFiles {
  readonly source: ResolvedSource;
  /** Of every file opened so far that was not complete when it was opened. */
  readonly arrivals: ReadonlySet<Arrival>;
}

/** `source` with a record of the files that are arriving. */
export function watchArrivals(source: ResolvedSource): WatchedFiles {
  const arrivals = new Set<Arrival>();
  const note = (file: ByteSource): ByteSource => {
    if (file.arrival) arrivals.add(file.arrival);
    return file;
  };
  if (source.entry) note(source.entry);
  return { source: withSiblings(source, async (name) => note(await source.siblings.open(name))), arrivals };
}

/** `source` with every file complete before it is read. @throws what a download fails with, when a file is opened. */
export async function completeFiles(source: ResolvedSource): Promise<ResolvedSource> {
  await source.entry?.arrival?.complete;
  return withSiblings(source, async (name) => {
    const file = await source.siblings.open(name);
    await file.arrival?.complete;
    return file;
  });
}

function withSiblings(source: ResolvedSource, open: (name: string) => Promise<ByteSource>): ResolvedSource {
  const { siblings } = source;
  return {
    name: source.name,
    entry: source.entry,
    siblings: { list: () => siblings.list(), open, close: () => siblings.close() },
    ...(source.subtree === undefined ? {} : { subtree: source.subtree }),
    close: () => source.close(),
  };
}
