/**
 * Waist 1, output side: what the bytes mean, without an object that does anything. `encodeManifest` makes bytes of it; storages may make what they say
 * when they are asked (`copyStorage` copies them), everything else is plain. Left of it nobody knows
 * ranks, right of it nobody knows file formats.
 */
import type { SourceVersion } from "../source/byte-source.ts";
import type { DType } from "../tensor/dtype.ts";
import type { ModuleMetadata } from "../tensor/state-dict.ts";
import type { StoragePiece, Warning } from "./checkpoint-tree.ts";
import type { ExtraState } from "./extra-state.ts";

/** One tensor: a view of a storage, in elements. */
export interface TensorDescriptor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  readonly storageOffset: number;
  /** Index into `storages`. */
  readonly storage: number;
  readonly conj?: true;
  readonly neg?: true;
  readonly requiresGrad?: true;
  readonly origin?: "parameter" | "numpy";
  /** Part of a module's extra state, and so no entry of the state dict. */
  readonly extra?: true;
}

/** One storage and where its bytes are. Read its fields; `copyStorage` copies it. */
export interface StorageDescriptor {
  readonly nbytes: number;
  readonly pieces: readonly StoragePiece[];
  readonly swapBytes: 1 | 2 | 4 | 8;
  readonly savedDevice: string;
  readonly meta?: boolean;
}

/** One file that pieces point into. */
export interface SourceDescriptor {
  /** Without secrets. */
  readonly name: string;
  readonly version: SourceVersion;
  /** Absolute path when the bytes are a local file. */
  readonly path?: string;
  readonly immutable?: true;
}

/** A value of an unknown class, kept inert. */
export interface OpaqueDescriptor {
  readonly path: string;
  readonly global: string;
  readonly dangerous: boolean;
}

/** Plain values of the checkpoint by dotted path. */
export type PlainValue = string | number | boolean | null;

/** Everything about a state dict except its bytes. */
export interface StateDictManifest {
  readonly format: string;
  readonly tensors: readonly TensorDescriptor[];
  readonly storages: readonly StorageDescriptor[];
  readonly sources: readonly SourceDescriptor[];
  /** Module path to metadata (`version`). Pairs, not an object: paths are untrusted. */
  readonly metadataModules: readonly (readonly [string, ModuleMetadata])[];
  readonly nontensor: readonly (readonly [string, PlainValue])[];
  /** What a state dict holds beside tensors, by key: extra state of modules, and what else lies directly in it. Empty for a whole file. */
  readonly extraState: ExtraState;
  readonly opaque: readonly OpaqueDescriptor[];
  readonly fileMetadata: readonly (readonly [string, string])[];
  readonly checksums: "present" | "partial" | "absent";
  readonly warnings: readonly Warning[];
  /** Dotted path of the selected value in the file (`state_dict`), empty for the whole file. */
  readonly selected: string;
}
