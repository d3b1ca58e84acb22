/**
 * `open-mmlab://`, `openmmlab://` and `mmcls://`: names of OpenMMLab's index files. As in mmengine, `$MMENGINE_HOME/open_mmlab.json` adds to the first
 * index and wins over it; what the options say wins over both.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { SourceError } from "../errors/checkpoint-error.ts";
import { nearestNames } from "../errors/nearest-names.ts";
import { printable } from "../errors/quote.ts";
import type { ResolvedSource } from "../source/byte-source.ts";
import { resolveLocalPath } from "../source/local-path.ts";
import { loadFromLocal } from "./local.ts";
import { openRemote } from "./open-remote.ts";
import { MMCLS_TABLE, OPENMMLAB_BASE, OPENMMLAB_TABLE } from "./openmmlab-table.ts";
import { notice, type SettledOptions } from "./resolve-context.ts";
import { unknownModel } from "./unknown-model.ts";

/** Renamed models (mmengine/hub/deprecated.json). No index has the two whose new names end with `_bgr`; mmengine does not find them either. */
const DEPRECATED = new Map([
  ["resnet50_caffe", "detectron/resnet50_caffe"],
  ["resnet50_caffe_bgr", "detectron2/resnet50_caffe_bgr"],
  ["resnet101_caffe", "detectron/resnet101_caffe"],
  ["resnet101_caffe_bgr", "detectron2/resnet101_caffe_bgr"],
]);

const REMEDY = "Correct the name, give the file's URL, or add the name to $MMENGINE_HOME/open_mmlab.json or the option tables.";

const MMCLS_REMEDY = "Correct the name, give the file's URL, or add the name to the option tables.";

/** Names and URLs, later ones win. */
function tableOf(builtIn: typeof OPENMMLAB_TABLE, ...more: readonly Iterable<readonly [string, string]>[]): ReadonlyMap<string, string> {
  const table = new Map(builtIn.map(([name, file]) => [name, OPENMMLAB_BASE + file] as const));
  for (const entries of more) for (const [name, target] of entries) table.set(name, target);
  return table;
}

/**
 * Opens a name of OpenMMLab's index.
 * @throws {SourceError} RANKCAST_MODEL_UNKNOWN; as `fetchToCache` or `openFile`.
 */
export async function loadFromOpenMmlab(uri: string, context: SettledOptions): Promise<ResolvedSource> {
  const [scheme = "", asked = ""] = uri.split(/(?<=:\/\/)/, 2);
  const renamed = DEPRECATED.get(asked);
  if (renamed !== undefined) notice(context, "RANKCAST_DEPRECATED", `${scheme}${asked} is deprecated in favor of ${scheme}${renamed}`);
  const name = renamed ?? asked;
  const home = mmengineHome(context);
  const table = tableOf(OPENMMLAB_TABLE, await readIndex(join(home, "open_mmlab.json")), Object.entries(context.tables?.openMmlab ?? {}));
  const target = table.get(name);
  if (target === undefined) throw unknownModel(scheme, name, nearestNames(name, table.keys()), REMEDY);
  return /^https?:\/\//.test(target) ? openRemote(target, context) : loadFromLocal(join(home, target), context);
}

/**
 * Opens a classification model of OpenMMLab; what is meant is its backbone.
 * @throws {SourceError} RANKCAST_MODEL_UNKNOWN; as `fetchToCache`.
 */
export async function loadFromMmcls(uri: string, context: SettledOptions): Promise<ResolvedSource> {
  const name = uri.slice("mmcls://".length);
  const table = tableOf(MMCLS_TABLE, Object.entries(context.tables?.mmcls ?? {}));
  const target = table.get(name);
  if (target === undefined) throw unknownModel("mmcls://", name, nearestNames(name, table.keys()), MMCLS_REMEDY);
  return { ...(await openRemote(target, context)), subtree: "backbone" };
}

/** `MMENGINE_HOME`, `$XDG_CACHE_HOME/mmengine` or `~/.cache/mmengine`. */
function mmengineHome({ environment }: SettledOptions): string {
  const home = environment.mmengineHome ?? join(environment.xdgCacheHome ?? join(environment.home, ".cache"), "mmengine");
  return resolveLocalPath(home, environment.home);
}

async function readIndex(path: string): Promise<[string, string][]> {
  const text = await readFile(path, "utf8").catch(() => null);
  if (text === null) return [];
  try {
    const index: unknown = JSON.parse(text);
    if (typeof index !== "object" || index === null || Array.isArray(index)) throw new Error("not an object");
    return Object.entries(index).filter((each): each is [string, string] => typeof each[1] === "string");
  } catch (cause) {
    throw new SourceError("RANKCAST_FILE_UNREADABLE", `${printable(path)}: expected a JSON object of names and URLs`, {
      details: { file: path },
      cause,
    });
  }
}
