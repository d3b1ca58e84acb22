/** The header of a safetensors file that is to be written, and the order of its tensors. Pure; rules of `prepare` in `safetensors/src/tensor.rs`. */
import { CheckpointError, TensorError, UsageError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { type DType, traitsOf } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { compareCodePoints, findSharedViews } from "./shared-views.ts";

/** What is to be written. */
export interface SafetensorsPlan {
  /** Length field, JSON and padding. */
  readonly header: Uint8Array;
  /** In the order of their bytes. */
  readonly tensors: readonly Tensor[];
  readonly dataBytes: number;
  readonly aliases: readonly (readonly [string, string])[];
  readonly untied: readonly (readonly string[])[];
}

/**
 * The library sorts by its enum of dtypes, last one first, so that every tensor is aligned to its element size without padding.
 * This is that enum in its own order (`Dtype` in `safetensors/src/tensor.rs`).
 */
const DTYPE_ORDER =
  "BOOL F4 F6_E2M3 F6_E3M2 U8 I8 F8_E5M2 F8_E4M3 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ I16 U16 F16 BF16 I32 U32 F32 C64 F64 I64 U64";
const RANK_BY_NAME: ReadonlyMap<string, number> = new Map(DTYPE_ORDER.split(" ").map((name, rank) => [name, rank]));
/** The reference refuses longer headers when it reads. */
const HEADER_BYTES_MAX = 100_000_000;
const METADATA_NAME = "__metadata__";
const LONE_SURROGATE = /\p{Surrogate}/u;

interface Row {
  readonly name: string;
  readonly tensor: Tensor;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly rank: number;
  readonly nbytes: number;
}

/**
 * Plans a file for `tensors` with `metadata` as its `__metadata__`.
 * @throws {UsageError} RANKCAST_SAVE_NAME for names and metadata the format cannot hold; {CheckpointError} RANKCAST_SAVE_DTYPE, RANKCAST_LIMIT;
 *   {TensorError} RANKCAST_TENSOR_META.
 */
export function planSafetensors(tensors: ReadonlyMap<string, Tensor>, metadata: ReadonlyMap<string, string>): SafetensorsPlan {
  // Readers look for a field `format`, so a dropped tensor of that name could not be given back.
  const { kept, aliases, overlapping } = findSharedViews(tensors, (name) => name !== "format");
  const rows = kept.map((name) => rowOf(name, tensors.get(name) as Tensor));
  rows.sort((a, b) => b.rank - a.rank || compareCodePoints(a.name, b.name));
  const fields = metadataFields(metadata, aliases);
  const parts =
    fields.length === 0 ? [] : [`"${METADATA_NAME}":{${fields.map(([key, value]) => `${json(key)}:${json(value)}`).join(",")}}`];
  let at = 0;
  for (const { name, dtype, shape, nbytes } of rows) {
    parts.push(`${json(name)}:{"dtype":"${dtype}","shape":[${shape}],"data_offsets":[${at},${at + nbytes}]}`);
    at += nbytes;
  }
  return { header: frame(`{${parts.join(",")}}`), tensors: rows.map(({ tensor }) => tensor), dataBytes: at, aliases, untied: overlapping };
}

function rowOf(name: string, tensor: Tensor): Row {
  if (name === METADATA_NAME || LONE_SURROGATE.test(name))
    throw new UsageError("RANKCAST_SAVE_NAME", `${quote(name)} cannot be the name of a tensor in a safetensors file`, {
      details: { key: name },
    });
  if (tensor.isMeta)
    throw new TensorError("RANKCAST_TENSOR_META", `${quote(name)} has a shape but no bytes to save`, { details: { key: name } });
  const dtype = traitsOf(tensor.dtype).safetensors;
  const shape = dtype === null ? undefined : storedShape(tensor.dtype, tensor.shape);
  const bits = tensor.elementCount * traitsOf(tensor.dtype).bits;
  if (dtype === null || shape === undefined || bits % 8 !== 0)
    throw new CheckpointError("RANKCAST_SAVE_DTYPE", `${quote(name)}: a safetensors file cannot hold ${tensor}`, {
      details: { key: name, dtype: tensor.dtype, shape: tensor.shape },
    });
  return { name, tensor, dtype, shape, rank: RANK_BY_NAME.get(dtype) ?? 0, nbytes: bits / 8 };
}

/** F4 counts single values where torch counts pairs; a pair without an axis has no such shape. */
function storedShape(dtype: DType, shape: readonly number[]): readonly number[] | undefined {
  if (dtype !== "float4_e2m1fn_x2") return shape;
  const last = shape.at(-1);
  return last === undefined ? undefined : [...shape.slice(0, -1), last * 2];
}

function metadataFields(
  metadata: ReadonlyMap<string, string>,
  aliases: readonly (readonly [string, string])[],
): (readonly [string, string])[] {
  for (const [key, value] of metadata) {
    if (typeof value !== "string" || LONE_SURROGATE.test(key) || LONE_SURROGATE.test(value))
      throw new UsageError("RANKCAST_SAVE_NAME", `metadata ${quote(key)} is not well-formed text`, { details: { key } });
  }
  const clash = aliases.find(([dropped]) => metadata.has(dropped));
  if (clash !== undefined)
    throw new UsageError("RANKCAST_SAVE_NAME", `metadata ${quote(clash[0])} is needed to say that this tensor is ${quote(clash[1])}`, {
      details: { key: clash[0] },
    });
  return [...metadata, ...aliases];
}

/** Length, text, spaces to a multiple of 8. */
function frame(text: string): Uint8Array {
  const textBytes = Buffer.byteLength(text);
  const length = Math.ceil(textBytes / 8) * 8;
  if (length > HEADER_BYTES_MAX)
    throw new CheckpointError("RANKCAST_LIMIT", `the header would have ${length} bytes, readers refuse more than ${HEADER_BYTES_MAX}`, {
      details: { limit: "safetensorsHeaderBytes", allowed: HEADER_BYTES_MAX, found: length },
      remedy: "Split the state dict over several files with an index.",
    });
  const bytes = Buffer.alloc(8 + length, " ");
  bytes.writeBigUInt64LE(BigInt(length), 0);
  bytes.write(text, 8);
  return bytes;
}

/** A JSON string as serde_json writes it: JSON.stringify escapes the same characters when no surrogate is alone. */
function json(text: string): string {
  return JSON.stringify(text);
}
