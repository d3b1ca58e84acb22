/** What a scheme loader is given beside the weights string. */
import { type Environment, readEnvironment } from "../environment/environment.ts";
import { DEFAULT_LIMITS, type Limits } from "../limits/limits.ts";
import type { ResolvedSource } from "../source/byte-source.ts";
import { newReadStats, type ReadStats } from "../source/counting-source.ts";
import type { FetchOptions } from "../source/fetch-options.ts";
import type { StateDict } from "../tensor/state-dict.ts";
import type { WeightTables } from "./weight-tables.ts";

/**
 * How remote bytes are reached. `download` puts files into the cache; `ranges` reads only what is asked for where the server can. Several nodes that
 * read a part each use `stripes`, which downloads wherever that cannot be done or would not pay, and then `stripes-only`: ranges or an error, past
 * the cache, so that every node means the same version. `describe-stripes` finds out what `stripes` would do, and downloads nothing that has ranges.
 */
export type Access = "download" | "ranges" | "stripes" | "stripes-only" | "describe-stripes";

/** How to find the bytes of a weights string. */
export interface ResolveOptions extends Omit<FetchOptions, "tablePrefix" | "sign" | "lock" | "watcher"> {
  /** The caller's word that a local file is not written while it is used. */
  readonly immutable?: boolean | undefined;
  /** Default `download`. */
  readonly access?: Access | undefined;
  /** Give sources that are still being downloaded (`ByteSource.arrival`). Default: complete ones. */
  readonly arriving?: boolean | undefined;
  readonly tables?: WeightTables | undefined;
  /** Counters to add to. */
  readonly stats?: ReadStats | undefined;
}

/** Options with the defaults filled in. */
export interface SettledOptions extends ResolveOptions {
  readonly environment: Environment;
  readonly limits: Limits;
  readonly offline: boolean;
  readonly stats: ReadStats;
}

/** What a loader gets: the options, and the way to hand a string on to another scheme. */
export interface ResolveContext extends SettledOptions {
  /** Resolves another weights string with the same options. */
  resolve(weights: string): Promise<ResolvedSource | StateDict>;
}

/** Fills in the defaults. */
export function settleOptions(options: ResolveOptions): SettledOptions {
  const environment = options.environment ?? readEnvironment();
  return {
    ...options,
    environment,
    limits: options.limits ?? DEFAULT_LIMITS,
    offline: options.offline ?? environment.offline,
    stats: options.stats ?? newReadStats(),
  };
}

/** Tells the user something that is no failure. */
export function notice(context: ResolveOptions, code: string, message: string): void {
  context.onProgress?.({ type: "notice", code, message });
}

/** A signal that is aborted when the caller's is, or ours. */
export function eitherSignal(given: AbortSignal | undefined, own: AbortSignal): AbortSignal {
  return given === undefined ? own : AbortSignal.any([given, own]);
}
