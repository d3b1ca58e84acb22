/** The header of a GGUF file: versions 1 to 3, either byte order. Source: `docs/gguf.md` of ggml-org/ggml. */
import { FormatError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { enforceLimit } from "../limits/exceeded.ts";
import { GgufCursor, type GgufCursorOptions } from "./gguf-cursor.ts";
import { GGUF_ARRAY, GGUF_SCALARS, GGUF_TEXT } from "./gguf-types.ts";
import { pairBytes, rowBytes } from "./table-costs.ts";

/** One tensor as the header states it. */
export interface GgufTensor {
  readonly name: string;
  /** Row-major: the file lists the fastest axis first. */
  readonly shape: readonly number[];
  /** Number of the element or block type. */
  readonly type: number;
  /** First byte, from the start of the tensor data. */
  readonly offset: number;
  /** Where the entry stands in the file, for messages. */
  readonly at: number;
}

/** A parsed header. */
export interface GgufHeader {
  readonly littleEndian: boolean;
  /** Values as text; arrays only say what they are, because token lists run to megabytes. */
  readonly metadata: ReadonlyMap<string, string>;
  readonly tensors: readonly GgufTensor[];
  /** Multiple on which every tensor starts. */
  readonly alignment: number;
  /** First byte of tensor data in the file. */
  readonly dataBegin: number;
}

const ALIGNMENT_KEY = "general.alignment";
const ALIGNMENT_DEFAULT = 32;
const MAGIC = "GGUF";
/** A big-endian writer that swaps the magic as a number. */
const MAGIC_SWAPPED = "FUGG";

/** Whether bytes start like a GGUF file. */
export function startsLikeGguf(head: Uint8Array): boolean {
  const magic = Buffer.from(head.subarray(0, 4)).toString("latin1");
  return magic === MAGIC || magic === MAGIC_SWAPPED;
}

/**
 * Reads the header.
 * @throws {FormatError} RANKCAST_GGUF_HEADER, RANKCAST_TRUNCATED, RANKCAST_LIMIT.
 */
export async function readGgufHeader(options: GgufCursorOptions): Promise<GgufHeader> {
  const { source, limits, heap } = options;
  const cursor = new GgufCursor(options);
  const fail: Fail = (problem, offset) => {
    throw new FormatError("RANKCAST_GGUF_HEADER", `${source.name}: ${problem}, at byte ${offset}`, {
      details: { file: source.name, offset },
    });
  };
  const { tensorCount, pairCount } = await cursor.item((each) => readCounts(each, fail));
  enforceLimit(limits, "ggufEntries", pairCount, { file: source.name, what: "metadata entries" });
  enforceLimit(limits, "tensors", tensorCount, { file: source.name, what: "tensors" });
  const metadata = new Map<string, string>();
  for (let index = 0; index < pairCount; index += 1) {
    const [key, value] = await cursor.item((each) => readPair(each, limits.jsonDepth, fail));
    if (metadata.has(key)) fail(`a second metadata entry ${quote(key)}`, cursor.at);
    heap.charge(pairBytes(2 * (key.length + value.length)), source.name);
    metadata.set(key, value);
  }
  const tensors: GgufTensor[] = [];
  const names = new Set<string>();
  for (let index = 0; index < tensorCount; index += 1) {
    const tensor = await cursor.item((each) => readTensor(each, options, fail));
    if (names.has(tensor.name)) fail(`a second tensor named ${quote(tensor.name)}`, tensor.at);
    names.add(tensor.name);
    heap.charge(rowBytes(2 * tensor.name.length, tensor.shape.length), source.name);
    tensors.push(tensor);
  }
  const alignment = Number(metadata.get(ALIGNMENT_KEY) ?? ALIGNMENT_DEFAULT);
  // ggml also asks for a power of two; tensors are placed by their offsets, so only a usable number matters here.
  if (!Number.isSafeInteger(alignment) || alignment < 1)
    fail(`${ALIGNMENT_KEY} is ${quote(String(metadata.get(ALIGNMENT_KEY)))}`, cursor.at);
  return { littleEndian: cursor.littleEndian, metadata, tensors, alignment, dataBegin: Math.ceil(cursor.at / alignment) * alignment };
}

type Fail = (problem: string, offset: number) => never;

function readCounts(cursor: GgufCursor, fail: Fail): { readonly tensorCount: number; readonly pairCount: number } {
  cursor.littleEndian = true;
  const swapped = cursor.u32() === 0x47475546;
  // Before the swapped magic existed, big-endian files were told by their version alone.
  cursor.littleEndian = !swapped;
  let version = cursor.u32();
  if (version > 0xffff) {
    cursor.littleEndian = !cursor.littleEndian;
    cursor.at -= 4;
    version = cursor.u32();
  }
  if (version < 1 || version > 3) fail(`GGUF version ${version} where 1, 2 and 3 are known`, 4);
  cursor.wideCounts = version > 1;
  return { tensorCount: cursor.count(), pairCount: cursor.count() };
}

function readPair(cursor: GgufCursor, depthMax: number, fail: Fail): readonly [string, string] {
  const key = cursor.text();
  const at = cursor.at;
  const type = cursor.u32();
  if (type === GGUF_TEXT) return [key, cursor.text()];
  if (type === GGUF_ARRAY) return [key, skipArray(cursor, depthMax, fail)];
  const scalar = GGUF_SCALARS.get(type) ?? fail(`unknown type ${type} of metadata ${quote(key)}`, at);
  return [key, String(cursor.scalar(scalar.bytes, scalar.read))];
}

/** Passes an array, with a list of open ones instead of recursion, and describes the outermost. */
function skipArray(cursor: GgufCursor, depthMax: number, fail: Fail): string {
  let outermost = "";
  const open = [{ left: 1, type: GGUF_ARRAY }];
  for (let current = open.at(-1); current !== undefined; current = open.at(-1)) {
    if (current.left === 0) {
      open.pop();
      continue;
    }
    if (current.type === GGUF_ARRAY) {
      const at = cursor.at;
      const type = cursor.u32();
      const left = cursor.count();
      outermost ||= `array of ${left}`;
      current.left -= 1;
      if (open.length > depthMax) fail(`arrays nested more than ${depthMax} deep`, at);
      open.push({ left, type });
    } else skipElements(cursor, current, fail);
  }
  return outermost;
}

function skipElements(cursor: GgufCursor, array: { left: number; readonly type: number }, fail: Fail): void {
  if (array.type === GGUF_TEXT) {
    for (; array.left > 0; array.left -= 1) cursor.skip(cursor.count());
    return;
  }
  const scalar = GGUF_SCALARS.get(array.type) ?? fail(`unknown type ${array.type} of array elements`, cursor.at);
  cursor.skip(array.left * scalar.bytes);
  array.left = 0;
}

function readTensor(cursor: GgufCursor, { source, limits }: GgufCursorOptions, fail: Fail): GgufTensor {
  const { at } = cursor;
  const name = cursor.text();
  const rank = cursor.u32();
  enforceLimit(limits, "tensorRank", rank, { file: source.name, what: quote(name) });
  const shape = new Array<number>(rank);
  for (let axis = rank - 1; axis >= 0; axis -= 1) {
    const size = cursor.count();
    if (!Number.isSafeInteger(size)) fail(`${quote(name)} has a size above 2^53-1`, at);
    shape[axis] = size;
  }
  const type = cursor.u32();
  const offset = cursor.u64();
  if (!Number.isSafeInteger(offset)) fail(`${quote(name)} starts at an offset above 2^53-1`, at);
  return { name, shape, type, offset, at };
}
