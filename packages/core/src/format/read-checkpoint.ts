/** From resolved files to decoded values: the door to all formats. */
import { FormatError } from "../errors/checkpoint-error.ts";
import { printable } from "../errors/quote.ts";
import { HeapBudget } from "../limits/heap-budget.ts";
import type { Limits } from "../limits/limits.ts";
import type { CheckpointTree } from "../manifest/checkpoint-tree.ts";
import type { ByteSource, ResolvedSource, Siblings } from "../source/byte-source.ts";
import { discoverEntry } from "./discover-entry.ts";
import { FORMATS } from "./formats.ts";
import { readFirstMatch, readHead } from "./read-first-match.ts";

/** Bounds and cancellation. */
export interface ReadCheckpointOptions {
  readonly limits: Limits;
  readonly signal?: AbortSignal | undefined;
  /** Of an entry that is still arriving, the tree may be computed from its beginning; the caller proves it later (`CheckpointTree.arriving`). */
  readonly early?: boolean;
}

/**
 * Decodes everything but tensor bytes. Of a directory, the entry file is found first. The tree's sources stay owned by `resolved`.
 * @throws {FormatError} with the class of refusal, naming file, record and byte offset.
 * @throws {SourceError} when bytes cannot be had.
 */
export async function readCheckpoint(
  resolved: ResolvedSource,
  { limits, signal, early = false }: ReadCheckpointOptions,
): Promise<CheckpointTree> {
  const { source, siblings } = resolved.entry ? { source: resolved.entry, siblings: resolved.siblings } : await openEntry(resolved);
  const head = await readHead(source, signal);
  const heap = new HeapBudget(limits);
  heap.addFile(source);
  const tree = await readFirstMatch({ source, head, siblings, limits, heap, signal, nesting: 0, early }, FORMATS);
  return { ...tree, heapBytes: heap.peakBytes };
}

async function openEntry({ name, siblings }: ResolvedSource): Promise<{ source: ByteSource; siblings: Siblings }> {
  const names = await siblings.list();
  if (names === null) {
    throw new FormatError("RANKCAST_ENTRY_NONE", `${printable(name)}: its files cannot be listed`, {
      details: { file: name },
      remedy: "Pass the URL of the entry file: an index or the checkpoint itself.",
    });
  }
  const entry = discoverEntry(names, name);
  const slash = entry.lastIndexOf("/");
  const source = await siblings.open(entry);
  return { source, siblings: slash < 0 ? siblings : below(siblings, entry.slice(0, slash + 1)) };
}

/** The files of one subdirectory; owned by `siblings`, so closing it does nothing. */
function below(siblings: Siblings, prefix: string): Siblings {
  return {
    async list() {
      const names = await siblings.list();
      return names?.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length)) ?? null;
    },
    open: (name) => siblings.open(prefix + name),
    async close() {},
  };
}
