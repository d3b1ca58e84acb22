/** Saving a state dict as one safetensors file. */
import type { StateDict } from "../tensor/state-dict.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { requireSaveArguments } from "./require-save-arguments.ts";
import { planSafetensors } from "./safetensors-plan.ts";
import type { SaveOptions, SaveReport } from "./save-options.ts";
import { elementChunks } from "./tensor-chunks.ts";
import { writeAtomically } from "./write-atomically.ts";

/** Options of `saveSafetensors`. */
export interface SaveSafetensorsOptions extends SaveOptions {
  /** Text for `__metadata__`. `format` is `pt` unless given, because model libraries refuse files without it. */
  readonly metadata?: Readonly<Record<string, string>> | ReadonlyMap<string, string>;
}

/**
 * Writes `stateDict` to `path`, whole or not at all. Bytes are those the reference library writes: largest elements first, then by name.
 * Tensors go out one at a time, so memory grows by one tensor at most, and only for one that is not contiguous.
 *
 * Names that are one view of one storage are stored once and recorded in `__metadata__`, where this library and the Python one find them.
 * Tensors that share only some bytes become separate copies; `untied` of the report names them.
 *
 * @example
 * await saveSafetensors("model.safetensors", checkpoint.stateDict, { metadata: { epoch: "12" } });
 * @throws {SourceError} RANKCAST_SAVE_REFUSED, RANKCAST_SAVE_DISK_FULL; {UsageError} RANKCAST_SAVE_NAME; {CheckpointError} RANKCAST_SAVE_DTYPE;
 *   {TensorError} RANKCAST_TENSOR_META; the signal's reason.
 */
export async function saveSafetensors(
  path: string,
  stateDict: ReadonlyMap<string, Tensor> | StateDict,
  options: SaveSafetensorsOptions = {},
): Promise<SaveReport> {
  requireSaveArguments(path, stateDict, options);
  const given = options.metadata ?? {};
  const metadata = new Map([["format", "pt"], ...(given instanceof Map ? given : Object.entries(given))]);
  const plan = planSafetensors(stateDict, metadata);
  const bytes = await writeAtomically(
    path,
    async (sink) => {
      await sink.write(plan.header);
      for (const tensor of plan.tensors) {
        for (const chunk of elementChunks(tensor)) await sink.write(chunk);
        options.onProgress?.({ phase: "save", doneBytes: sink.position - plan.header.length, totalBytes: plan.dataBytes });
      }
      return sink.position;
    },
    options,
  );
  const omitted = "extraState" in stateDict ? [...stateDict.extraState.keys()] : [];
  return { bytes, aliases: plan.aliases, untied: plan.untied, omitted };
}
