/** `mmdet://`, `mmseg://` and `bdd100k://`: fixed beginnings of URLs. */
import type { ResolvedSource } from "../source/byte-source.ts";
import { MODEL_ZOOS } from "./model-zoo-table.ts";
import { openRemote } from "./open-remote.ts";
import type { SettledOptions } from "./resolve-context.ts";

/** The URL of a model zoo name; other strings as they are. */
export function expandModelZoo(uri: string): string {
  for (const [scheme, base] of MODEL_ZOOS) if (uri.startsWith(scheme)) return base + uri.slice(scheme.length);
  return uri;
}

/** Opens a file of a model zoo. @throws {SourceError} as `fetchToCache`. */
export function loadFromModelZoo(uri: string, context: SettledOptions): Promise<ResolvedSource> {
  return openRemote(expandModelZoo(uri), context);
}
