/** Fetches the files of a sharded checkpoint side by side, as soon as its index is known. */
import type { ByteSource, Siblings } from "../source/byte-source.ts";
import { readBytes } from "../source/byte-source.ts";
import { refuseUnsafeName } from "../source/directory-siblings.ts";
import { Permits } from "../source/permits.ts";
import type { SettledOptions } from "./resolve-context.ts";

/** Files under way at once; each has its own parallel ranges. */
export const FILES_MAX = 4;

/**
 * When `source` is an index (`*.index.json`), starts opening the files it names, which for remote siblings means fetching them. An index that the format
 * reader will refuse for its text starts nothing; whatever else is wrong, that reader says it, and a file that fails is reported when it is opened.
 */
export async function prefetchShards(
  name: string,
  source: ByteSource,
  siblings: Pick<Siblings, "open">,
  context: SettledOptions,
): Promise<void> {
  if (!name.endsWith(".index.json") || context.access === "ranges" || source.sizeBytes > context.limits.indexBytes) return;
  const names = shardNames(await readBytes(source, 0, source.sizeBytes, context.signal));
  if (names.length > context.limits.indexShards) return;
  const permits = new Permits(FILES_MAX);
  for (const each of names) permits.with(() => siblings.open(each)).catch(() => undefined);
}

/** The distinct plain names of the weight map's values. */
function shardNames(bytes: Uint8Array): string[] {
  try {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8");
    const index = JSON.parse(text) as { weight_map?: unknown };
    // A key that comes twice is silently lost by JSON.parse, and with it some of the text.
    if (dense(JSON.stringify(index)) !== dense(text)) return [];
    const values: unknown[] = Object.values((index.weight_map ?? {}) as object);
    const names = values.filter((each): each is string => typeof each === "string");
    for (const name of names) refuseUnsafeName(name, "");
    return [...new Set(names)];
  } catch {
    return [];
  }
}

function dense(json: string): string {
  return json.replace(/\s+/g, "");
}
