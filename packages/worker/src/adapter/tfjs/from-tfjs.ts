/** A model of TensorFlow.js as torch's state dict: the learner's way out. */
import type { StateDict } from "@rankcast/core";
import type { TfjsLayersModel } from "./layers-model.ts";
import { TfjsModule, type TfjsModuleOptions } from "./tfjs-module.ts";

/**
 * The weights under torch's names and in torch's shapes: views of the model's memory where the backend shows it, valid until the next
 * training step. For a loop, make one `TfjsModule` and ask its `stateDict()`.
 * @throws {UsageError} RANKCAST_ADAPTER_LAYER for a layer whose weights no rule speaks of.
 */
export function fromTfjs(model: TfjsLayersModel, options: TfjsModuleOptions = {}): StateDict {
  return new TfjsModule(model, options).stateDict();
}
