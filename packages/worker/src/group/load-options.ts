/** Options of a collective load, split into what decides the bytes (equal on all ranks) and what decides how they go into a replica. */
import { createHash } from "node:crypto";
import { compileMapLocation, type FetchOptions, type LoadProgress } from "@rankcast/core";
import {
  checkOptionNames,
  FETCH_OPTIONS,
  FLAG,
  LOAD_STATE_DICT_OPTIONS,
  type OptionShapes,
  requireFetchOptions,
} from "@rankcast/core/runtime";
import type { ReplicaLoadOptions } from "../replica/replica-host.ts";

/** Everything `group.loadModelCheckpoint` and `pool.load` take. */
export interface GroupLoadOptions extends ReplicaLoadOptions, FetchOptions {
  /** Add a SHA-256 of each replica's state to the report. */
  readonly digest?: boolean;
  /** Cancels this rank's part; every rank then fails with that cause at the next barrier. */
  readonly signal?: AbortSignal;
  /** Told when this rank enters a phase of the round: `waiting for weights`, `preparing`, `loading`, `reporting`. Must not throw. */
  readonly onProgress?: (event: LoadProgress) => void;
}

/** Names of those options, kept complete by the compiler. */
const GROUP_LOAD_OPTIONS = {
  ...FETCH_OPTIONS,
  ...LOAD_STATE_DICT_OPTIONS,
  revKeys: true,
  onCollision: true,
  prefault: true,
  digest: true,
  signal: true,
  onProgress: true,
} as const satisfies Record<keyof GroupLoadOptions, true>;

const GROUP_SHAPES: OptionShapes = new Map([
  ["digest", FLAG],
  ["prefault", FLAG],
]);

/**
 * Looks at options before anything is sent.
 * @throws {UsageError} RANKCAST_USAGE for an option that a collective load does not have, or that is not what it must be; RANKCAST_MAP_LOCATION for
 * a `mapLocation` that is no rule at all.
 */
export function checkGroupLoadOptions(options: GroupLoadOptions): void {
  checkOptionNames("a collective load", options, GROUP_LOAD_OPTIONS);
  requireFetchOptions(options, GROUP_SHAPES);
  // Devices are the coordinator's to know; what is no rule could not even be written down for it.
  if (!RULE_TYPES.has(typeof options.mapLocation)) compileMapLocation(options.mapLocation);
}

const RULE_TYPES: ReadonlySet<string> = new Set(["undefined", "string", "object", "function"]);

const FETCH_FIELDS = Object.keys(FETCH_OPTIONS);

/** The part of the options that decides which bytes are fetched. */
export function fetchOptionsOf(options: GroupLoadOptions): FetchOptions {
  return Object.fromEntries(
    FETCH_FIELDS.filter((name) => options[name as keyof GroupLoadOptions] !== undefined).map((name) => [
      name,
      options[name as keyof GroupLoadOptions],
    ]),
  );
}

/** The part that decides how weights go into a replica. */
export function replicaOptionsOf(options: GroupLoadOptions): ReplicaLoadOptions {
  const left = new Set<string>([...FETCH_FIELDS, "digest", "signal", "onProgress"]);
  return Object.fromEntries(Object.entries(options).filter(([name]) => !left.has(name)));
}

/** Short digest of what a round is about; ranks that disagree must not load together. */
export function roundDigest(what: unknown): string {
  return createHash("sha256").update(JSON.stringify(what)).digest("hex").slice(0, 32);
}
