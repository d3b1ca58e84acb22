/** Options that decide which bytes are fetched; equal on all ranks of a job. Plain data except for the callbacks. */

import type { TreeValue } from "../manifest/checkpoint-tree.ts";
import type { MapLocation } from "../map-location/compile-map-location.ts";
import type { WeightTables } from "../scheme/weight-tables.ts";

/** Names the state dict's dotted path, given the decoded checkpoint without its bytes. Collective loads take a path only. */
export type StateDictSelector = (root: TreeValue) => string;

/**
 * Which nodes of a job go to the origin: one for all, which casts the bytes to the others; each for itself; or each, because they share a
 * file system. On one node all are the same.
 */
export type FetchPolicy = "once-per-job" | "once-per-node" | "shared-fs";

/** See the module comment. */
export interface FetchOptions {
  /** Default `once-per-job`. Matters only to collective loads of several nodes. */
  readonly fetch?: FetchPolicy;
  /**
   * Where storages go: `cpu` (default), `meta` (nothing is read), `shared` (one writable copy for all replicas of a process), a table from saved
   * device tags to these, or a function. Functions cannot cross processes: collective loads take strings and tables.
   */
  readonly mapLocation?: MapLocation;
  /** Dotted path of the state dict inside the checkpoint, or a function that names it. Default: `state_dict`, `model`, … or the whole. */
  readonly select?: string | StateDictSelector;
  /** Only keys under this prefix, with the prefix taken off. */
  readonly subtree?: string;
  /** Expected SHA-256 of the file, hex. */
  readonly sha256?: string;
  /** Where downloads are kept. Default: `RANKCAST_HOME`, then torch's directories. */
  readonly cacheDir?: string;
  /** Use only what is already here. Default false. */
  readonly offline?: boolean;
  /** Promise that local files are not rewritten in place: they are mapped without a copy. Default false. */
  readonly immutable?: boolean;
  /** Check stored checksums once per node. Default true. */
  readonly verify?: boolean;
  /** Overrides of named limits. */
  readonly limits?: Readonly<Record<string, number>>;
  /**
   * URLs of modules that call `CheckpointLoader.registerScheme` when imported. Weights of a job are resolved by the node's coordinator, in another
   * process or thread, where registrations of this one are not known.
   */
  readonly schemes?: readonly string[];
  /** Names and mirrors beside the built-in ones; see `WeightTables`. */
  readonly tables?: WeightTables;
  /** Additional HTTP headers for the origin. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** How far a load has come. */
export interface LoadProgress {
  /** `resolving`, `downloading`, `decoding`, `reading`, … */
  readonly phase: string;
  /** Bytes of this phase so far; 0 when it begins, and in phases that count none. */
  readonly doneBytes: number;
  /** Null where it is not known. */
  readonly totalBytes: number | null;
}

/** Who listens and who may cancel. */
export interface FetchHooks {
  readonly signal?: AbortSignal | undefined;
  /** Everything below as events. Must not throw. */
  readonly onProgress?: ((event: LoadProgress) => void) | undefined;
  /** A phase begins: `resolving`, `downloading`, `decoding`, … */
  readonly onPhase?: ((phase: string) => void) | undefined;
  /** Bytes of the phase so far. */
  readonly onBytes?: ((bytes: number, totalBytes: number | null) => void) | undefined;
}

/** The options with `onProgress` told what `onPhase` and `onBytes` are told; as they are when nobody asked for it. */
export function tellProgress<Options extends FetchHooks>(options: Options): Options {
  const { onProgress, onPhase, onBytes } = options;
  if (onProgress === undefined) return options;
  let current = "";
  return {
    ...options,
    onProgress: undefined,
    onPhase(phase) {
      current = phase;
      onPhase?.(phase);
      onProgress({ phase, doneBytes: 0, totalBytes: null });
    },
    onBytes(doneBytes, totalBytes) {
      onBytes?.(doneBytes, totalBytes);
      onProgress({ phase: current, doneBytes, totalBytes });
    },
  };
}
