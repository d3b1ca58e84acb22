/** Paths, `~` and `file://`. */
import type { ResolvedSource } from "../source/byte-source.ts";
import { cacheLayout } from "../source/cache-layout.ts";
import { requireDigest } from "../source/demanded-digest.ts";
import { describedSource } from "../source/described-source.ts";
import { resolveLocalPath } from "../source/local-path.ts";
import { openLocal, resolved } from "../source/open-local.ts";
import { rememberedSha256 } from "../source/verification-memory.ts";
import { type ResolveOptions, settleOptions } from "./resolve-context.ts";

/**
 * Opens a local file or directory. A `sha256` option is checked against the file before anything is read from it.
 * @throws {SourceError} RANKCAST_NOT_FOUND, RANKCAST_FILE_UNREADABLE, RANKCAST_HASH_MISMATCH; {UsageError} RANKCAST_USAGE.
 */
export async function loadFromLocal(path: string, options: ResolveOptions = {}): Promise<ResolvedSource> {
  const context = settleOptions(options);
  const local = resolveLocalPath(path, context.environment.home);
  const source = await openLocal(local, { immutable: context.immutable === true });
  const { entry, name, siblings } = source;
  let found: string | undefined;
  const digestOf = async (): Promise<string> => {
    found = await rememberedSha256(cacheLayout(context.environment, context.cacheDir), local, context.signal);
    return found;
  };
  try {
    await requireDigest(name, context.sha256, entry && digestOf);
    return entry === null || found === undefined ? source : resolved(name, describedSource(entry, entry.name, { sha256: found }), siblings);
  } catch (error) {
    await source.close();
    throw error;
  }
}
