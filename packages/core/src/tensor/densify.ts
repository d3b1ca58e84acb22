/**
 * Sparse tensors written out. Layouts and their invariants: torch `docs/source/sparse.rst` and `torch.sparse.check_sparse_tensor_invariants`.
 *
 *     coo        indices [sparse axes, n]                 values [n, *dense]
 *     csr, csc   compressed [*batch, rows or columns + 1], plain [*batch, n]   values [*batch, n, *dense]
 *     bsr, bsc   the same, counted in blocks                                 values [*batch, n, height, width, *dense]
 */
import { FormatError, TensorError } from "../errors/checkpoint-error.ts";
import { DEFAULT_LIMITS, type Limits } from "../limits/limits.ts";
import { addElements } from "./add-elements.ts";
import { castTensor } from "./cast.ts";
import { requireConvertible } from "./convert.ts";
import { bytesOf, traitsOf } from "./dtype.ts";
import { Storage } from "./storage.ts";
import { contiguousStrides, elementCount, sameShape } from "./strides.ts";
import { Tensor } from "./tensor.ts";

/** A sparse tensor as files hold it. */
export interface SparseParts {
  readonly layout: "coo" | "csr" | "csc" | "bsr" | "bsc";
  readonly shape: readonly number[];
  /** torch's part names (`indices`, `values`, `crow_indices`, `col_indices`, `ccol_indices`, `row_indices`) to tensors. */
  readonly parts: ReadonlyMap<string, Tensor>;
}

/**
 * The tensor with its zeros, row-major in fresh memory. Every index is checked. A COO tensor may name a place more than once: the values add
 * up, in the order they are stored, as in torch's `to_dense`.
 * @throws {TensorError} RANKCAST_SPARSE_PARTS when parts are missing, do not fit each other, or hold an index that is outside or out of order.
 * @throws {FormatError} RANKCAST_LIMIT when the result is above `densifiedBytes`.
 */
export function densify(sparse: SparseParts, limits: Pick<Limits, "densifiedBytes"> = DEFAULT_LIMITS): Tensor {
  const { dtype, savedDevice } = part(sparse, "values");
  requireConvertible(dtype, dtype);
  const nbytes = bytesOf(dtype, elementCount(sparse.shape));
  if (nbytes > limits.densifiedBytes) {
    throw new FormatError(
      "RANKCAST_LIMIT",
      `${sparse.layout} [${sparse.shape}] written out: ${nbytes} is above the limit densifiedBytes = ${limits.densifiedBytes}`,
      {
        details: { limit: "densifiedBytes", allowed: limits.densifiedBytes, found: nbytes, shape: sparse.shape },
      },
    );
  }
  const dense = new Tensor({ dtype, shape: sparse.shape, storage: Storage.allocate(nbytes), savedDevice });
  if (sparse.layout === "coo") fillCoo(dense, sparse);
  else fillCompressed(dense, sparse);
  return dense;
}

function fillCoo(dense: Tensor, sparse: SparseParts): void {
  const indices = part(sparse, "indices");
  const values = part(sparse, "values").contiguous();
  const [axes = -1, count = -1] = indices.shape;
  const fits = indices.shape.length === 2 && axes <= sparse.shape.length && sameShape(values.shape, [count, ...sparse.shape.slice(axes)]);
  if (!fits) throw fault(sparse, `indices [${indices.shape}] and values [${values.shape}] do not belong to it`);
  const index = indexArray(sparse, indices);
  const inner = elementCount(sparse.shape.slice(axes));
  const places = contiguousStrides(sparse.shape.slice(0, axes));
  const taken = new Uint8Array(Math.ceil(elementCount(sparse.shape.slice(0, axes)) / 8));
  const width = bytesOf(values.dtype, inner);
  for (let entry = 0; entry < count; entry += 1) {
    let place = 0;
    for (let axis = 0; axis < axes; axis += 1) {
      const at = index[axis * count + entry] as number;
      if (!(at >= 0 && at < (sparse.shape[axis] as number))) throw fault(sparse, `indices[${axis}, ${entry}] = ${at} is outside`);
      place += at * (places[axis] as number);
    }
    const into = { dtype: dense.dtype, storage: dense.storage, byteOffset: place * width };
    const from = { dtype: dense.dtype, storage: values.storage, byteOffset: bytesOf(values.dtype, values.storageOffset) + entry * width };
    const byte = Math.floor(place / 8);
    const bit = 1 << (place % 8);
    if (((taken[byte] as number) & bit) !== 0) addElements(into, from, inner);
    else dense.storage.bytes(into.byteOffset, width).set(from.storage.bytes(from.byteOffset, width));
    taken[byte] = (taken[byte] as number) | bit;
  }
}

/** Where the blocks of one compressed tensor are. */
interface Blocks {
  /** Elements of one block: rows, columns, and the dense axes behind them. */
  readonly height: number;
  readonly width: number;
  readonly inner: number;
  /** Blocks along the compressed and along the other axis. */
  readonly lines: number;
  readonly across: number;
  readonly batches: number;
  /** Blocks per batch. */
  readonly count: number;
  readonly byColumn: boolean;
}

function fillCompressed(dense: Tensor, sparse: SparseParts): void {
  const byColumn = sparse.layout === "csc" || sparse.layout === "bsc";
  const compressed = part(sparse, byColumn ? "ccol_indices" : "crow_indices");
  const plain = part(sparse, byColumn ? "row_indices" : "col_indices");
  const values = part(sparse, "values").contiguous();
  const blocks = blocksOf(sparse, compressed, plain, values);
  const begins = indexArray(sparse, compressed);
  const places = indexArray(sparse, plain);
  const source = values.storage.bytes(bytesOf(values.dtype, values.storageOffset), values.nbytes);
  for (let batch = 0; batch < blocks.batches; batch += 1) {
    const first = batch * (blocks.lines + 1);
    if (begins[first] !== 0 || begins[first + blocks.lines] !== blocks.count)
      throw fault(sparse, `compressed indices must run from 0 to ${blocks.count}`);
    for (let line = 0; line < blocks.lines; line += 1) {
      const [begin, end] = [begins[first + line] as number, begins[first + line + 1] as number];
      if (!(begin <= end && end <= blocks.count))
        throw fault(sparse, `compressed indices go from ${begin} to ${end} of ${blocks.count} at ${line}`);
      for (let entry = begin, before = -1; entry < end; entry += 1) {
        const place = places[batch * blocks.count + entry] as number;
        if (!(place > before && place < blocks.across))
          throw fault(sparse, `plain index ${place} at ${entry} is outside or not above ${before}`);
        placeBlock(dense, blocks, batch, line, place, source, batch * blocks.count + entry);
        before = place;
      }
    }
  }
}

function blocksOf(sparse: SparseParts, compressed: Tensor, plain: Tensor, values: Tensor): Blocks {
  const { shape, layout } = sparse;
  const byColumn = layout === "csc" || layout === "bsc";
  const batch = compressed.shape.slice(0, -1);
  const axes = batch.length;
  const blocked = layout === "bsr" || layout === "bsc" ? 2 : 0;
  const [height = 1, width = 1] = blocked === 0 ? [] : values.shape.slice(axes + 1, axes + 3);
  const [rows = -1, columns = -1] = shape.slice(axes, axes + 2);
  const count = plain.shape.at(-1) ?? -1;
  const lines = (byColumn ? columns / width : rows / height) || 0;
  const across = (byColumn ? rows / height : columns / width) || 0;
  const inner = shape.slice(axes + 2);
  const fits =
    rows >= 0 &&
    columns >= 0 &&
    [lines, across].every(Number.isInteger) &&
    sameShape(batch, shape.slice(0, axes)) &&
    sameShape(compressed.shape, [...batch, lines + 1]) &&
    sameShape(plain.shape, [...batch, count]) &&
    sameShape(values.shape, [...batch, count, ...(blocked === 0 ? [] : [height, width]), ...inner]);
  if (!fits) throw fault(sparse, `parts [${compressed.shape}], [${plain.shape}] and values [${values.shape}] do not belong to it`);
  return { height, width, inner: elementCount(inner), lines, across, batches: elementCount(batch), count, byColumn };
}

/** Copies one block row by row: a row of a block is a run of the dense tensor. */
function placeBlock(dense: Tensor, blocks: Blocks, batch: number, line: number, place: number, source: Uint8Array, entry: number): void {
  const { height, width, inner, lines, across, byColumn } = blocks;
  const item = bytesOf(dense.dtype, 1);
  const [down, right] = byColumn ? [place, line] : [line, place];
  const rows = (byColumn ? across : lines) * height;
  const columns = (byColumn ? lines : across) * width;
  const run = width * inner * item;
  for (let row = 0; row < height; row += 1) {
    const at = ((batch * rows + down * height + row) * columns + right * width) * inner * item;
    const from = (entry * height + row) * run;
    dense.storage.bytes(at, run).set(source.subarray(from, from + run));
  }
}

function part(sparse: SparseParts, name: string): Tensor {
  const found = sparse.parts.get(name);
  if (!found) throw fault(sparse, `${name} is missing`);
  return found;
}

/** Indices as numbers; exact, because what is above 2^53 is outside every shape. */
function indexArray(sparse: SparseParts, tensor: Tensor): Float64Array {
  if (traitsOf(tensor.dtype).kind !== "int") throw fault(sparse, `indices are ${tensor.dtype}, not integers`);
  return castTensor(tensor, "float64").contiguous().data as Float64Array;
}

function fault({ layout, shape }: SparseParts, text: string): TensorError {
  return new TensorError("RANKCAST_SPARSE_PARTS", `sparse ${layout} [${shape}]: ${text}`, { details: { layout, shape } });
}
