/** The tensors of any readable checkpoint as one safetensors file. */

import { UsageError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { describeFound, requireArgument, TEXT } from "../errors/require-options.ts";
import { type RevKeys, reviseKeys } from "../rev-keys/revise-keys.ts";
import { castTensor } from "../tensor/cast.ts";
import { describeCast } from "../tensor/cast-loss.ts";
import { type DType, isDType, traitsOf } from "../tensor/dtype.ts";
import type { StateDict } from "../tensor/state-dict.ts";
import { saveSafetensors } from "../write/save-safetensors.ts";
import type { FetchHooks, FetchOptions } from "./fetch-options.ts";
import { loadWhole } from "./load-checkpoint.ts";
import { checkedOptions, FETCH_AND_HOOK_OPTIONS } from "./option-names.ts";

/** Options of `convertCheckpoint`. */
export interface ConvertOptions extends FetchOptions, FetchHooks {
  /** Key rewrites in order. Default `[["^module\\.", ""]]`. */
  readonly revKeys?: RevKeys;
  /** Floating-point tensors become this type. */
  readonly dtype?: string;
}

/** The JSON of `rankcast convert`. */
export interface ConvertReport {
  readonly weights: string;
  readonly format: string;
  readonly output: string;
  readonly bytes: number;
  readonly tensors: number;
  readonly renamed: number;
  /** Names that are one view of one storage: `[dropped, kept]`, recorded in the file. */
  readonly aliases: readonly (readonly [string, string])[];
  /** What is no tensor and so has no place in the file, by key: extra state of modules, numbers beside the tensors. */
  readonly omitted: readonly string[];
  readonly casts: readonly { readonly key: string; readonly from: DType; readonly to: DType; readonly loss: string }[];
}

/**
 * Writes the selected state dict of `weights` to `output`, atomically.
 * @throws {UsageError} RANKCAST_USAGE for an unknown dtype and an output named as another format; {SourceError}, {FormatError}, {StateDictError} as reading does; {SourceError} when
 * the disk is full. An existing file is replaced only by a complete one.
 */
export async function convertCheckpoint(weights: string, output: string, given: ConvertOptions = {}): Promise<ConvertReport> {
  const options = checkedOptions("convertCheckpoint", given, { ...FETCH_AND_HOOK_OPTIONS, revKeys: true, dtype: true });
  requireArgument("output", output, TEXT);
  refuseOtherFormat(output);
  const { dtype, revKeys, ...fetch } = options;
  if (dtype !== undefined && !isDType(dtype))
    throw new UsageError("RANKCAST_USAGE", `${describeFound(dtype)} is no dtype`, { details: { option: "dtype" } });
  await using checkpoint = await loadWhole(weights, fetch, { needsStateDict: true });
  const { stateDict, renamed } = reviseKeys(checkpoint.stateDict, revKeys);
  options.onPhase?.("writing");
  const casts = dtype === undefined ? [] : castFloats(stateDict, dtype);
  const { bytes, aliases, omitted } = await saveSafetensors(output, stateDict, {
    ...(options.signal ? { signal: options.signal } : {}),
    onProgress: ({ doneBytes, totalBytes }) => options.onBytes?.(doneBytes, totalBytes),
  });
  return {
    weights: checkpoint.report.weights,
    format: checkpoint.format,
    output,
    bytes,
    tensors: stateDict.size,
    renamed,
    aliases,
    omitted,
    casts,
  };
}

/** A safetensors file under another format's name would be found by whoever looks for that format, and read by nobody. */
function refuseOtherFormat(output: string): void {
  const [, extension] = OTHER_FORMAT.exec(output) ?? [];
  if (extension === undefined) return;
  const torch = TORCH.test(extension) ? ` A torch file is written by saveTorch(path, stateDict) of @rankcast/core.` : "";
  throw new UsageError("RANKCAST_USAGE", `convert writes safetensors, not ${extension}: ${quote(output)}`, {
    details: { option: "output", output, extension },
    remedy: `Name the output *.safetensors.${torch}`,
  });
}

const OTHER_FORMAT =
  /(\.(?:pt|pth|pth\.tar|ckpt|bin|pkl|pickle|tar|zip|npy|npz|gguf|ggml|h5|hdf5|keras|onnx|pb|tflite|msgpack|distcp|json))$/i;
const TORCH = /^\.(pt|pth|pth\.tar|ckpt|bin|pkl|pickle|tar)$/i;

function castFloats(stateDict: StateDict, dtype: DType): ConvertReport["casts"] {
  const casts: { key: string; from: DType; to: DType; loss: string }[] = [];
  for (const [key, tensor] of stateDict) {
    if (traitsOf(tensor.dtype).kind !== "float" || tensor.dtype === dtype) continue;
    stateDict.set(key, castTensor(tensor, dtype));
    casts.push({ key, from: tensor.dtype, to: dtype, loss: String(describeCast(tensor.dtype, dtype)) });
  }
  return casts;
}
