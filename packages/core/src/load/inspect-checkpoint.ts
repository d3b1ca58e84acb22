/** What is in a checkpoint, for programs and for `rankcast inspect`. */

import { readEnvironment } from "../environment/environment.ts";
import { FLAG, type OptionShapes } from "../errors/require-options.ts";
import { aliasesOf } from "../manifest/aliases.ts";
import type { Warning } from "../manifest/checkpoint-tree.ts";
import type { OpaqueDescriptor, PlainValue, StateDictManifest } from "../manifest/manifest.ts";
import { type CompiledRevKeys, compileRevKeys, type RevKeys } from "../rev-keys/compile-rev-keys.ts";
import { requireNoCollision, reviseNames } from "../rev-keys/revise-names.ts";
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
  /** Key rewrites in order, as a load applies them; implies `stateDict`, since they are about its names. Default none: names as they stand. */
  readonly revKeys?: RevKeys;
}

/**
 * Describes a checkpoint.
 * @throws {SourceError} when the bytes cannot be had; {FormatError} when they are no checkpoint we accept; {StateDictError} RANKCAST_REV_KEY_COLLISION
 * when `revKeys` give two tensors one name.
 */
export async function inspectCheckpoint(weights: string, given: InspectOptions = {}): Promise<InspectReport> {
  const known = { ...FETCH_AND_HOOK_OPTIONS, digest: true, stateDict: true, revKeys: true } as const;
  const { revKeys = [], ...options } = checkedOptions("inspectCheckpoint", given, known, INSPECT_SHAPES);
  const rules = compileRevKeys(revKeys);
  const narrowed = options.stateDict === true || options.select !== undefined || options.subtree !== undefined || rules.rules.length > 0;
  const opened = await openWeights(weights, {
    ...options,
    scope: narrowed ? "selected" : "whole",
    access: options.digest ? "download" : "ranges",
  });
  try {
    const digests = options.digest ? await digestAll(opened, options) : null;
    const manifest = rules.rules.length > 0 ? renamed(opened.manifest, rules) : opened.manifest;
    return describe({ manifest, name: opened.name, bytes: opened.bytes }, digests, options.digest === true && options.verify !== false);
  } finally {
    await opened.close();
  }
}

/** Tensors and modules under the names that the rules give them; what else is in the file keeps its path. */
function renamed(manifest: StateDictManifest, rules: CompiledRevKeys): StateDictManifest {
  const revised = reviseNames(
    manifest.tensors.map(({ name }) => name),
    manifest.metadataModules,
    rules,
  );
  requireNoCollision(revised, rules);
  const tensors = manifest.tensors.map((tensor, index) => ({ ...tensor, name: revised.names[index] ?? tensor.name }));
  return { ...manifest, tensors, metadataModules: [...revised.metadata] };
}

async function digestAll(opened: OpenedWeights, options: InspectOptions): Promise<(string | null)[]> {
  const { storages } = await loadState(opened, { ...options, noMmap: readEnvironment().noMmap });
  return bindTensors(opened.manifest, storages).map((tensor) => (tensor.isMeta ? null : digestTensor(tensor, opened.limits)));
}

function describe(
  opened: Pick<OpenedWeights, "manifest" | "name" | "bytes">,
  digests: readonly (string | null)[] | null,
  verified: boolean,
): InspectReport {
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
