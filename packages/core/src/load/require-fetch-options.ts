/** The check that every public function over weights begins with. */
import {
  either,
  FLAG,
  FUNCTION,
  OBJECT,
  type OptionShapes,
  oneOf,
  requireArgument,
  requireOptions,
  SIGNAL,
  TEXT,
  TEXTS,
  TEXTS_BY_NAME,
} from "../errors/require-options.ts";

import type { TreeValue } from "../manifest/checkpoint-tree.ts";
import type { StateDictSelector } from "./fetch-options.ts";

/** Shapes of `FetchOptions` and `FetchHooks`; what texts and tables may say is checked where they are used. */
const FETCH_SHAPES: OptionShapes = new Map([
  ["fetch", oneOf("once-per-job", "once-per-node", "shared-fs")],
  ["select", either(TEXT, FUNCTION)],
  ["subtree", TEXT],
  ["sha256", TEXT],
  ["cacheDir", TEXT],
  ["offline", FLAG],
  ["immutable", FLAG],
  ["verify", FLAG],
  ["limits", OBJECT],
  ["schemes", TEXTS],
  ["tables", OBJECT],
  ["headers", TEXTS_BY_NAME],
  ["signal", SIGNAL],
  ["onPhase", FUNCTION],
  ["onBytes", FUNCTION],
  ["onProgress", FUNCTION],
]);

/**
 * Checks options of fetching, and those of the caller's own in `more`.
 * @throws {UsageError} RANKCAST_USAGE naming the first that is wrong; nothing has been done yet.
 */
export function requireFetchOptions(options: unknown, more?: OptionShapes): void {
  requireOptions(options, FETCH_SHAPES);
  if (more) requireOptions(options, more);
}

/**
 * The path that `select` is or names.
 * @throws {UsageError} RANKCAST_USAGE when the function gives no path.
 */
export function selectedPath(select: string | StateDictSelector | undefined, root: TreeValue): string | undefined {
  if (typeof select !== "function") return select;
  const path = select(root);
  requireArgument("what the select function returns", path, TEXT);
  return path;
}
