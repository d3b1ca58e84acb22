/** Which tensors of a state dict are one and the same view, and which merely share bytes. Pure. */
import { bytesOf } from "../tensor/dtype.ts";
import { elementSpan } from "../tensor/strides.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** The tensors of a state dict, sorted out. */
export interface SharedViews {
  /** Names to keep, in order. */
  readonly kept: readonly string[];
  /** `[dropped, kept]`. */
  readonly aliases: readonly (readonly [string, string])[];
  /** Kept names whose byte ranges overlap without being the same view. */
  readonly overlapping: readonly (readonly string[])[];
}

/** One run of memory that a tensor looks at. */
interface Span {
  readonly name: string;
  readonly memory: number;
  readonly begin: number;
  readonly end: number;
}

/**
 * Sorts names out. Two tensors are the same view when memory, first byte, dtype, shape, strides and flags are equal; strides of axes with one
 * element do not count. Tensors without elements share nothing. Of equal views the name that is first by code point is kept, as the Python
 * library does (`_remove_duplicate_names` in `safetensors/torch.py`).
 * @param mayDrop whether a name can be given back by a reader when it is dropped.
 */
export function findSharedViews(tensors: ReadonlyMap<string, Tensor>, mayDrop: (name: string) => boolean): SharedViews {
  const memories = new Map<ArrayBufferLike | null, number>();
  const keptByView = new Map<string, string>();
  const aliases: [string, string][] = [];
  const spans: Span[] = [];
  const dropped = new Set<string>();
  for (const name of [...tensors.keys()].sort(compareCodePoints)) {
    const tensor = tensors.get(name);
    if (tensor === undefined || tensor.storage.buffer === null || tensor.elementCount === 0) continue;
    const memory = memories.get(tensor.storage.buffer) ?? memories.size;
    memories.set(tensor.storage.buffer, memory);
    const begin = tensor.storage.byteOffset + bytesOf(tensor.dtype, tensor.storageOffset);
    const view = viewKey(tensor, memory, begin);
    const kept = keptByView.get(view);
    if (kept !== undefined && mayDrop(name)) {
      aliases.push([name, kept]);
      dropped.add(name);
      continue;
    }
    keptByView.set(view, kept ?? name);
    spans.push({ name, memory, begin, end: begin + bytesOf(tensor.dtype, elementSpan(tensor.shape, tensor.stride)) });
  }
  return { kept: [...tensors.keys()].filter((name) => !dropped.has(name)), aliases, overlapping: overlaps(spans) };
}

/** Order of Unicode code points, which is the order of the UTF-8 bytes that other languages sort by. */
export function compareCodePoints(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at += 1) {
    const [x, y] = [a.charCodeAt(at), b.charCodeAt(at)];
    if (x === y) continue;
    // Surrogates stand for code points above all of the basic plane, part of which has larger units.
    const [xHigh, yHigh] = [(x & 0xf800) === 0xd800, (y & 0xf800) === 0xd800];
    return xHigh === yHigh ? x - y : xHigh ? 1 : -1;
  }
  return a.length - b.length;
}

function viewKey(tensor: Tensor, memory: number, begin: number): string {
  const strides = tensor.stride.map((step, axis) => (tensor.shape[axis] === 1 ? 0 : step));
  return `${memory}|${begin}|${tensor.dtype}|${tensor.shape}|${strides}|${tensor.conj}|${tensor.neg}`;
}

/** Groups of names whose ranges overlap, by one sweep over the ranges in order. */
function overlaps(spans: readonly Span[]): string[][] {
  const groups: string[][] = [];
  let group: string[] = [];
  let memory = -1;
  let end = 0;
  for (const span of [...spans].sort((a, b) => a.memory - b.memory || a.begin - b.begin || a.end - b.end)) {
    if (span.memory === memory && span.begin < end) {
      group.push(span.name);
      end = Math.max(end, span.end);
      continue;
    }
    if (group.length > 1) groups.push(group);
    group = [span.name];
    ({ memory, end } = span);
  }
  if (group.length > 1) groups.push(group);
  return groups;
}
