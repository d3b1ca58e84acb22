/** Weights string → files, with the caller's hooks translated. */
import { UsageError } from "../errors/checkpoint-error.ts";
import { describeThrown } from "../errors/foreign-errors.ts";
import { quote } from "../errors/quote.ts";
import { compileLimits } from "../limits/limits.ts";
import type { Warning } from "../manifest/checkpoint-tree.ts";
import type { Access } from "../scheme/resolve-context.ts";
import { checkWeightTables } from "../scheme/weight-tables.ts";
import type { ResolvedSource } from "../source/byte-source.ts";
import { newReadStats, type ReadStats } from "../source/counting-source.ts";
import type { FetchEvent } from "../source/fetch-event.ts";
import { StateDict } from "../tensor/state-dict.ts";
import type { FetchHooks, FetchOptions } from "./fetch-options.ts";

/** What a weights string stands for, and what finding it took. */
export interface ResolvedFiles {
  /** Null when a scheme's loader made a state dict itself. */
  readonly source: ResolvedSource | null;
  readonly stateDict: StateDict | null;
  /** Grows while bytes are read. */
  readonly stats: ReadStats;
  /** Things the user should know that are no failures. */
  readonly notices: readonly Warning[];
}

/**
 * Resolves `weights`, importing modules that register schemes first.
 * @throws {SourceError} when the bytes cannot be had; {UsageError} for unknown schemes, limits and wrong tables.
 */
export async function resolveFiles(
  weights: string,
  options: FetchOptions & FetchHooks & { readonly access?: Access; readonly arriving?: boolean },
): Promise<ResolvedFiles> {
  const limits = compileLimits(options.limits);
  const stats = newReadStats();
  const notices: Warning[] = [];
  let downloading = false;
  const onProgress = (event: FetchEvent): void => {
    if (event.type === "notice") notices.push({ code: event.code, message: event.message });
    if (event.type !== "progress") return;
    if (!downloading) options.onPhase?.("downloading");
    downloading = true;
    options.onBytes?.(event.bytesDone, event.bytesTotal);
  };
  options.onPhase?.("resolving");
  for (const url of options.schemes ?? []) await importScheme(url);
  const { resolveWeights } = await import("../scheme/resolve-weights.ts");
  const { signal, offline, immutable, cacheDir, sha256, headers, access, arriving } = options;
  const tables = options.tables === undefined ? undefined : checkWeightTables(options.tables);
  const resolved = await resolveWeights(weights, {
    limits,
    stats,
    onProgress,
    signal,
    offline,
    immutable,
    cacheDir,
    sha256,
    headers,
    tables,
    access,
    arriving,
    ignoreNameDigest: options.verify === false,
  });
  return resolved instanceof StateDict
    ? { source: null, stateDict: resolved, stats, notices }
    : { source: resolved, stateDict: null, stats, notices };
}

async function importScheme(url: string): Promise<void> {
  try {
    await import(url);
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : describeThrown(cause);
    throw new UsageError("RANKCAST_USAGE", `schemes: ${quote(url)} cannot be imported: ${message}`, {
      details: { option: "schemes", module: url },
      remedy: "Correct the path or the module named in the error; it must run when imported.",
      cause,
    });
  }
}
