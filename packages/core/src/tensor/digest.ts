/** SHA-256 of tensors and of whole states, equal for equal values however they lie in memory. */
import { createHash } from "node:crypto";
import type { DType } from "./dtype.ts";
import { elementBytes } from "./element-bytes.ts";
import type { MaterialiseLimits } from "./materialise.ts";
import type { StridedView } from "./strided-view.ts";

/**
 * SHA-256 (hex) over the logical elements: row-major, contiguous, little-endian, in the tensor's own dtype, conj and neg applied. Strides
 * and offset do not show in it; NaN payloads and signs of zero do. Needs at most 1 MiB beside the tensor.
 * @throws {TensorError} RANKCAST_TENSOR_META when there are no bytes.
 * @throws {FormatError} RANKCAST_LIMIT when the tensor is far larger than the bytes behind it.
 */
export function digestTensor(tensor: StridedView, limits?: MaterialiseLimits): string {
  const hash = createHash("sha256");
  for (const piece of elementBytes(tensor, limits)) hash.update(piece);
  return hash.digest("hex");
}

/**
 * One SHA-256 (hex) for a whole state: names, dtypes, shapes and values. Order of the entries does not matter. It is the SHA-256 of one
 * line per tensor, sorted by name (UTF-16 code units): the JSON array `[name, dtype, shape, digest]` without spaces, `null` in place of the
 * digest of a meta tensor, and a line feed.
 * @throws {FormatError} RANKCAST_LIMIT when a tensor is far larger than the bytes behind it.
 */
export function digestStateDict(entries: Iterable<readonly [string, StridedView]>, limits?: MaterialiseLimits): string {
  const rows = Array.from(entries, ([name, tensor]) => digestRow(name, tensor, limits));
  return combineDigests(rows);
}

/** What a state's digest takes of one tensor. */
export interface DigestRow {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** `digestTensor` of it; null for a meta tensor. */
  readonly sha256: string | null;
}

/** The digest of a state from the digests of its tensors, for callers that have computed those in parts or in parallel. */
export function combineDigests(rows: Iterable<DigestRow>): string {
  const sorted = [...rows].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const hash = createHash("sha256");
  for (const { name, dtype, shape, sha256 } of sorted) hash.update(`${JSON.stringify([name, dtype, shape, sha256])}\n`);
  return hash.digest("hex");
}

function digestRow(name: string, tensor: StridedView, limits: MaterialiseLimits | undefined): DigestRow {
  const { dtype, shape, storage } = tensor;
  return { name, dtype, shape, sha256: storage.buffer === null ? null : digestTensor(tensor, limits) };
}
