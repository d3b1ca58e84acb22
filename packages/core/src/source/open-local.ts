/** A local path, file or directory, as what a weights string stands for. */
import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { ByteSource, ResolvedSource, Siblings } from "./byte-source.ts";
import { directorySiblings } from "./directory-siblings.ts";
import { type OpenFileOptions, openFile } from "./file-source.ts";
import { resolveLocalPath } from "./local-path.ts";

/**
 * Opens a file with the files beside it, or a directory whose entry the formats find. `~` and `file://` are resolved.
 * @throws {SourceError} RANKCAST_NOT_FOUND, RANKCAST_FILE_KIND for a pipe, a device or a socket, RANKCAST_FILE_UNREADABLE when the system refuses.
 */
export async function openLocal(path: string, options: OpenFileOptions = {}): Promise<ResolvedSource> {
  const local = resolveLocalPath(path);
  const found = await stat(local).catch(() => undefined);
  if (found?.isDirectory()) return resolved(local, null, directorySiblings(local, options));
  return resolved(local, await openFile(local, options), directorySiblings(dirname(local), options));
}

/** Bundles an entry with its siblings; closing it closes both. */
export function resolved(name: string, entry: ByteSource | null, siblings: Siblings): ResolvedSource {
  return {
    name,
    entry,
    siblings,
    async close() {
      await Promise.all([entry?.close(), siblings.close()]);
    },
  };
}
