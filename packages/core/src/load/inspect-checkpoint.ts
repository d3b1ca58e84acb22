/** What is in a checkpoint, for programs and for `rankcast inspect`. */

import { readEnvironment } from "../environment/environment.ts";
import { FLAG, type OptionShapes } from "../errors/require-options.ts";
import { aliasesOf } from "../manifest/aliases.ts";
import type { Warning } from "../manifest/checkpoint-tree.ts";
import type { OpaqueDescriptor, PlainValue, StateDictManifest } from "../manifest/manifest.ts";
import { bindTensors } from "../state-dict/bind-state-dict.ts";
import { digestTensor } from "../tensor/digest.ts";
import type { DType } from "../tensor/dtype.ts";
import { bytesOf } from "../tensor/dtype.ts";
import type { ModuleMetadata } from "../tensor/state-dict.ts";
import { elementCount } from "../tensor/strides.ts";
import type { FetchHooks, FetchOptions } from "./fetch-options.ts";
import { loadState } from "./load-state.ts";
import { type OpenedWeights, openWeights } from "./open-weights.ts";
import { checkedOptions, FETCH_AND_HOOK_OPTIONS } from "./option-names.ts";

/** One tensor of an inspection. */
export interface InspectedTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  /** Index of the storage; equal indices alias. */
  readonly storage: number;
  readonly storageOffset: number;
  readonly nbytes: number;
  readonly savedDevice: string;
  /** Over the logical elements, row-major, little-endian; null for tensors without bytes; absent unless asked for. */
  readonly sha256?: string | null;
}

/** The JSON of `rankcast inspect`. */
export interface InspectReport {
  readonly weights: string;
  readonly format: string;
  readonly bytes: number;
  readonly tensors: readonly InspectedTensor[];
  readonly aliases: readonly (readonly string[])[];
  readonly nontensor: Readonly<Record<string, PlainValue>>;
  readonly metadataModules: Readonly<Record<string, ModuleMetadata["version"]>>;
  readonly opaque: readonly OpaqueDescriptor[];
  readonly integrity: "verified" | "absent" | "unchecked";
  readonly warnings: readonly Warning[];
}

const INSPECT_SHAPES: OptionShapes = new Map([
  ["digest", FLAG],
  ["stateDict", FLAG],
]);

/** Options of `inspectCheckpoint`. */
export interface InspectOptions extends FetchOptions, FetchHooks {
  /** Hash every tensor (reads and verifies all bytes). Default false: headers only. */
  readonly digest?: boolean;
  /** Only the state dict a load would select, names relative to it. Default false: everything, named from the root. */
  readonly stateDict?: boolean;
}

/**
 * Describes a checkpoint.
 * @throws {SourceError} when the bytes cannot be had; {FormatError} when they are no checkpoint we accept.
 */
export async function inspectCheckpoint(weights: string, given: InspectOptions = {}): Promise<InspectReport> {
  const options = checkedOptions("inspectCheckpoint", given, { ...FETCH_AND_HOOK_OPTIONS, digest: true, stateDict: true }, INSPECT_SHAPES);
  const narrowed = options.stateDict === true || options.select !== undefined || options.subtree !== undefined;
  const opened = await openWeights(weights, {
    ...options,
    scope: narrowed ? "selected" : "whole",
    access: options.digest ? "download" : "ranges",
  });
  try {
    const digests = options.digest ? await digestAll(opened, options) : null;
    return describe(opened, digests, options.digest === true && options.verify !== false);
  } finally {
    await opened.close();
  }
}

async function digestAll(opened: OpenedWeights, options: InspectOptions): Promise<(string | null)[]> {
  const { storages } = await loadState(opened, { ...options, noMmap: readEnvironment().noMmap });
  return bindTensors(opened.manifest, storages).map((tensor) => (tensor.isMeta ? null : digestTensor(tensor, opened.limits)));
}

function describe(opened: OpenedWeights, digests: readonly (string | null)[] | null, verified: boolean): InspectReport {
  const { manifest } = opened;
  return {
    weights: opened.name,
    format: manifest.format,
    bytes: opened.bytes,
    tensors: describeTensors(manifest, digests),
    aliases: aliasesOf(manifest),
    nontensor: safeRecord(manifest.nontensor),
    metadataModules: safeRecord(manifest.metadataModules.map(([path, { version }]) => [path, version ?? null] as const)),
    opaque: manifest.opaque,
    integrity: manifest.checksums === "absent" ? "absent" : verified ? "verified" : "unchecked",
    warnings: manifest.warnings,
  };
}

/** Every tensor of a manifest; `digests` by index, or null when nobody asked. */
export function describeTensors(manifest: StateDictManifest, digests: readonly (string | null)[] | null): InspectedTensor[] {
  return manifest.tensors.map((tensor, index) => ({
    name: tensor.name,
    dtype: tensor.dtype,
    shape: tensor.shape,
    stride: tensor.stride,
    storage: tensor.storage,
    storageOffset: tensor.storageOffset,
    nbytes: bytesOf(tensor.dtype, elementCount(tensor.shape)),
    savedDevice: manifest.storages[tensor.storage]?.savedDevice ?? "cpu",
    ...(digests ? { sha256: digests[index] ?? null } : {}),
  }));
}

/** A record without prototype: a name like `__proto__` is a name. */
function safeRecord<T>(pairs: readonly (readonly [string, T])[]): Record<string, T> {
  const record = Object.create(null) as Record<string, T>;
  for (const [name, value] of pairs) record[name] = value;
  return record;
}
