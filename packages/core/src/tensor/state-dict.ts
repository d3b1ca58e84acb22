/** The state dict: names to tensors, in order. */
import type { Tensor } from "./tensor.ts";

/** What torch keeps per module path in `_metadata`: at least `version`. The root module's path is the empty string. */
export type ModuleMetadata = Readonly<Record<string, string | number | boolean | null>>;

/**
 * An ordered table of tensors (a Map, never an object: names are untrusted) with torch's module metadata beside it.
 */
export class StateDict extends Map<string, Tensor> {
  /** Module path to `{ version, … }`; empty when the file had none. */
  metadata: Map<string, ModuleMetadata> = new Map();
  /** Values that are no tensors but belong to a module (`_extra_state`), by full key. */
  extraState: Map<string, unknown> = new Map();
}
