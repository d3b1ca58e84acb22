/** Names of the options of loads, kept complete by the compiler. */

import { checkOptionNames } from "../errors/option-names.ts";
import type { OptionShapes } from "../errors/require-options.ts";
import { LOAD_STATE_DICT_OPTIONS } from "../module/load-options.ts";
import { type FetchHooks, type FetchOptions, tellProgress } from "./fetch-options.ts";
import { requireFetchOptions } from "./require-fetch-options.ts";

/** Options that decide which bytes are fetched. */
export const FETCH_OPTIONS = {
  fetch: true,
  mapLocation: true,
  select: true,
  subtree: true,
  sha256: true,
  cacheDir: true,
  offline: true,
  immutable: true,
  verify: true,
  limits: true,
  schemes: true,
  tables: true,
  headers: true,
} as const satisfies Record<keyof FetchOptions, true>;

/** Those and the listeners. */
export const FETCH_AND_HOOK_OPTIONS = {
  ...FETCH_OPTIONS,
  signal: true,
  onProgress: true,
  onPhase: true,
  onBytes: true,
} as const satisfies Record<keyof (FetchOptions & FetchHooks), true>;

/** Those and what a load into a model takes. */
export const LOAD_MODEL_OPTIONS = { ...FETCH_AND_HOOK_OPTIONS, ...LOAD_STATE_DICT_OPTIONS, revKeys: true, onCollision: true } as const;

/**
 * The options of one public call: every name known, every value of the right type (those of the call's own by `shapes`), progress told.
 * @throws {UsageError} RANKCAST_USAGE for an option that the call does not have, or that is not what it must be.
 */
export function checkedOptions<Options extends FetchHooks>(
  call: string,
  options: Options,
  known: Readonly<Record<string, true>>,
  shapes?: OptionShapes,
): Options {
  checkOptionNames(call, options, known);
  requireFetchOptions(options, shapes);
  return tellProgress(options);
}
