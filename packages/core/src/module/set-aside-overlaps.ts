/** Loads from memory that the same load writes to: a model loaded from its own (permuted) state dict. */
import { bytesOf } from "../tensor/dtype.ts";
import { elementSpan } from "../tensor/strides.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { PlannedKey } from "./planned-key.ts";
import { isSameView } from "./tied-weights.ts";
import { castedCopy } from "./write-tensor.ts";

/** Bytes of one buffer, begin inclusive, end exclusive. */
interface ByteSpan {
  readonly begin: number;
  readonly end: number;
  readonly owner: PlannedKey;
  /** Largest end of this span and all that begin before it. */
  reach: number;
}

/**
 * Copies of the sources that another key of the load would overwrite before they are read, or under an adopted view. Empty for every
 * checkpoint from outside, at the cost of one table of buffers.
 */
export function setAsideOverlaps(planned: readonly PlannedKey[]): ReadonlyMap<PlannedKey, Tensor> {
  const written = collectWrites(planned);
  const aside = new Map<PlannedKey, Tensor>();
  for (const each of planned) {
    const { buffer } = each.source.storage;
    const spans = buffer !== null && (each.plan.mode === "copy" || each.plan.mode === "adopt") ? written.get(buffer) : undefined;
    if (spans && isWritten(spans, each)) aside.set(each, castedCopy(each.source, each.source.dtype));
  }
  return aside;
}

/** Spans that the load writes, by buffer, sorted by their begin. */
function collectWrites(planned: readonly PlannedKey[]): ReadonlyMap<ArrayBufferLike, readonly ByteSpan[]> {
  const written = new Map<ArrayBufferLike, ByteSpan[]>();
  for (const each of planned) {
    const held = each.held as Tensor;
    if (each.plan.mode !== "copy" || held.storage.buffer === null || isSameView(held, each.source)) continue;
    const known = written.get(held.storage.buffer);
    if (known) known.push(spanOf(held, each));
    else written.set(held.storage.buffer, [spanOf(held, each)]);
  }
  for (const spans of written.values()) {
    let reach = 0;
    for (const span of spans.sort((a, b) => a.begin - b.begin)) {
      reach = Math.max(reach, span.end);
      span.reach = reach;
    }
  }
  return written;
}

function isWritten(spans: readonly ByteSpan[], each: PlannedKey): boolean {
  const { begin, end } = spanOf(each.source, each);
  for (let at = firstFrom(spans, end) - 1; at >= 0; at -= 1) {
    const span = spans[at];
    if (span === undefined || span.reach <= begin) return false;
    if (span.owner !== each && span.end > begin) return true;
  }
  return false;
}

/** Index of the first span that begins at or after `end`. */
function firstFrom(spans: readonly ByteSpan[], end: number): number {
  let low = 0;
  let high = spans.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((spans[middle]?.begin ?? end) < end) low = middle + 1;
    else high = middle;
  }
  return low;
}

function spanOf(tensor: Tensor, owner: PlannedKey): ByteSpan {
  const begin = tensor.storage.byteOffset + bytesOf(tensor.dtype, tensor.storageOffset);
  const end = begin + bytesOf(tensor.dtype, elementSpan(tensor.shape, tensor.stride));
  return { begin, end, owner, reach: end };
}
