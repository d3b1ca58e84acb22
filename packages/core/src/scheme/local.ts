/** Paths, `~` and `file://`. */
import type { ResolvedSource } from "../source/byte-source.ts";
import { cacheLayout } from "../source/cache-layout.ts";
import { describedSource } from "../source/described-source.ts";
import { digestMismatch, expectedDigest, meets } from "../source/expected-digest.ts";
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
  if (context.sha256 === undefined || source.entry === null) return source;
  try {
    const expected = expectedDigest(new URL("file:///"), { sha256: context.sha256 });
    const sha256 = await rememberedSha256(cacheLayout(context.environment, context.cacheDir), local, context.signal);
    if (expected !== null && !meets(expected, sha256)) throw digestMismatch(local, expected.prefix, sha256, "sha256");
    return resolved(source.name, describedSource(source.entry, source.entry.name, { sha256 }), source.siblings);
  } catch (error) {
    await source.close();
    throw error;
  }
}
