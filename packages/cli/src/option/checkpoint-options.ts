/** The flags that every verb over weights shares, and what they mean to the library. */

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { FetchOptions, WeightTables } from "@rankcast/core";
import { UsageError } from "@rankcast/core/launcher";
import { type Command, InvalidArgumentError, Option } from "commander";

/** Values commander gives for the shared flags. */
export interface CheckpointFlags {
  readonly json?: boolean;
  readonly revKey?: readonly (readonly [string, string])[];
  /** False after `--no-default-rev-keys`. */
  readonly defaultRevKeys?: boolean;
  readonly select?: string;
  readonly subtree?: string;
  readonly strict?: boolean;
  readonly mapLocation?: string;
  readonly dtype?: string;
  readonly sha256?: string;
  readonly cacheDir?: string;
  readonly offline?: boolean;
  readonly immutable?: boolean;
  readonly scheme?: readonly string[];
  readonly tables?: string;
  /** False after `--no-verify`. */
  readonly verify?: boolean;
  readonly limit?: Readonly<Record<string, number>>;
}

const DEFAULT_REV_KEYS: readonly (readonly [string, string])[] = [["^module\\.", ""]];

/** Adds the shared flags to a verb. */
export function addCheckpointOptions(command: Command): Command {
  return command
    .option("--json", "print one JSON document on stdout")
    .addOption(
      new Option("--rev-key <PATTERN=>REPLACEMENT>", "rewrite keys, Python re.sub semantics; repeatable, in order").argParser(
        collectRevKey,
      ),
    )
    .option("--no-default-rev-keys", "do not strip a leading 'module.'")
    .option("--select <path>", "dotted path of the state dict inside the checkpoint")
    .option("--subtree <prefix>", "only keys under this prefix, with the prefix removed")
    .option("--strict", "missing, unexpected or mismatched keys are an error")
    .option("--map-location <where>", "cpu (default), cpu:N, meta or shared")
    .option("--dtype <policy>", "cast, error, keep, or a dtype to convert to")
    .option("--sha256 <hex>", "expected SHA-256 of the file")
    .option("--cache-dir <directory>", "where downloads are kept")
    .option("--offline", "use only what is already here")
    .option("--immutable", "promise that local files are not rewritten in place: they are mapped without a copy")
    .option("--scheme <module...>", "modules that register schemes when imported")
    .option("--tables <file>", "JSON file of more names for torchvision, openMmlab and mmcls, and of mirrors")
    .option("--no-verify", "do not check stored checksums")
    .addOption(new Option("--limit <NAME=VALUE>", "override a limit; repeatable").argParser(collectLimit));
}

function collectRevKey(text: string, earlier: readonly (readonly [string, string])[] | undefined): readonly (readonly [string, string])[] {
  const at = text.indexOf("=>");
  if (at === -1) throw new InvalidArgumentError("expected PATTERN=>REPLACEMENT.");
  return [...(earlier ?? []), [text.slice(0, at), text.slice(at + 2)]];
}

function collectLimit(text: string, earlier: Readonly<Record<string, number>> | undefined): Readonly<Record<string, number>> {
  const [, name = "", value = "", decimals] = /^([^=]+)=(\d+(\.\d+)?)$/.exec(text) ?? [];
  // Counts and sizes are asked of the system as they are: half a byte is a typing error.
  if (name === "" || (decimals !== undefined && !name.endsWith("Ratio")))
    throw new InvalidArgumentError("expected NAME=VALUE with a whole number; of limits that end in Ratio it may have decimals.");
  return { ...earlier, [name]: Number(value) };
}

/** Key rewrites in the order they apply: the default first, then the flags. */
export function revKeysOf(flags: CheckpointFlags): readonly (readonly [string, string])[] {
  return [...(flags.defaultRevKeys === false ? [] : DEFAULT_REV_KEYS), ...(flags.revKey ?? [])];
}

/**
 * The part of the flags that decides which bytes are fetched.
 * @throws {UsageError} RANKCAST_USAGE for a SHA-256 that is none, and for a file of tables that cannot be read.
 */
export function fetchOptionsOf(flags: CheckpointFlags): FetchOptions {
  if (flags.sha256 !== undefined && !/^[0-9a-f]{64}$/i.test(flags.sha256)) {
    throw new UsageError("RANKCAST_USAGE", "--sha256 needs 64 hexadecimal digits", { details: { option: "sha256" } });
  }
  return {
    ...(flags.mapLocation === undefined ? {} : { mapLocation: flags.mapLocation }),
    ...(flags.select === undefined ? {} : { select: flags.select }),
    ...(flags.subtree === undefined ? {} : { subtree: flags.subtree }),
    ...(flags.sha256 === undefined ? {} : { sha256: flags.sha256.toLowerCase() }),
    ...(flags.cacheDir === undefined ? {} : { cacheDir: flags.cacheDir }),
    ...(flags.offline ? { offline: true } : {}),
    ...(flags.immutable ? { immutable: true } : {}),
    ...(flags.scheme === undefined ? {} : { schemes: flags.scheme.map((path) => pathToFileURL(resolve(path)).href) }),
    ...(flags.tables === undefined ? {} : { tables: readTables(flags.tables) }),
    ...(flags.verify === false ? { verify: false } : {}),
    ...(flags.limit === undefined ? {} : { limits: flags.limit }),
  };
}

function readTables(path: string): WeightTables {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new UsageError("RANKCAST_USAGE", `--tables ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      details: { option: "tables", file: path },
      cause,
    });
  }
}
