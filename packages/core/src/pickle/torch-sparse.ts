/**
 * Sparse tensors: their parts are dense tensors. What the parts' shapes say about each other is checked here; whether the indices inside
 * them point into the tensor is known only with the bytes, so whoever writes a sparse tensor out checks that.
 */
import { SparseRef, TensorRef, type TreeValue } from "../manifest/checkpoint-tree.ts";
import { badArgument, sequence } from "./call-arguments.ts";
import type { PickleCall } from "./known-global.ts";
import { layoutNamed } from "./torch-names.ts";
import { dimensions } from "./torch-tensor.ts";

type Args = readonly TreeValue[];
type Compressed = "csr" | "csc" | "bsr" | "bsc";

const COMPRESSED: ReadonlyMap<string, Compressed> = new Map([
  ["sparse_csr", "csr"],
  ["sparse_csc", "csc"],
  ["sparse_bsr", "bsr"],
  ["sparse_bsc", "bsc"],
]);

/** `(layout, (indices, values, size[, is_coalesced]))` or `(layout, (compressed indices, plain indices, values, size))`. */
export function rebuildSparse(args: Args, call: PickleCall): SparseRef {
  const layout = layoutNamed(args[0]);
  const parts = sequence(args[1], "the content of a sparse tensor", call);
  if (layout === "sparse_coo") return rebuildCoo(parts, call);
  const compressed = COMPRESSED.get(layout ?? "");
  if (compressed === undefined) throw call.refuse("RANKCAST_TENSOR_TYPE", "a sparse tensor has a layout that is not supported");
  return rebuildCompressed(compressed, parts, call);
}

function rebuildCoo(parts: Args, call: PickleCall): SparseRef {
  const indices = indexPart(parts[0], "indices", call);
  const values = tensorPart(parts[1], "values", call);
  const shape = dimensions(parts[2], "size", call);
  const [sparseRank, count] = indices.shape;
  if (indices.shape.length !== 2 || sparseRank === undefined || values.shape.length === 0 || values.shape[0] !== count) {
    throw misfit(`indices ${describe(indices)} and values ${describe(values)}`, call);
  }
  if (
    sparseRank + values.shape.length - 1 !== shape.length ||
    values.shape.slice(1).some((size, axis) => size !== shape[sparseRank + axis])
  ) {
    throw misfit(`indices ${describe(indices)}, values ${describe(values)} and size (${shape.join(", ")})`, call);
  }
  call.charge(SPARSE_BYTES);
  return new SparseRef(
    "coo",
    shape,
    new Map([
      ["indices", indices],
      ["values", values],
    ]),
    parts[3] === true,
  );
}

/** Estimated heap of a sparse tensor beside its parts. */
const SPARSE_BYTES = 300;

function rebuildCompressed(layout: Compressed, parts: Args, call: PickleCall): SparseRef {
  const byRow = layout === "csr" || layout === "bsr";
  const compressed = indexPart(parts[0], byRow ? "crow_indices" : "ccol_indices", call);
  const plain = indexPart(parts[1], byRow ? "col_indices" : "row_indices", call);
  const values = tensorPart(parts[2], "values", call);
  const shape = dimensions(parts[3], "size", call);
  checkCompressed(layout, { compressed, plain, values }, shape, call);
  call.charge(SPARSE_BYTES);
  return new SparseRef(
    layout,
    shape,
    new Map([
      [byRow ? "crow_indices" : "ccol_indices", compressed],
      [byRow ? "col_indices" : "row_indices", plain],
      ["values", values],
    ]),
  );
}

/** Leading axes are batches; then one pointer per row (or column) of blocks and one past the last, one index and one value per block. */
function checkCompressed(
  layout: Compressed,
  parts: { compressed: TensorRef; plain: TensorRef; values: TensorRef },
  shape: readonly number[],
  call: PickleCall,
): void {
  const { compressed, plain, values } = parts;
  const batch = compressed.shape.length - 1;
  const blocked = layout === "bsr" || layout === "bsc";
  const text = `pointers ${describe(compressed)}, indices ${describe(plain)}, values ${describe(values)} and size (${shape.join(", ")})`;
  if (batch < 0 || plain.shape.length !== batch + 1 || shape.length < batch + 2 || values.shape.length < batch + (blocked ? 3 : 1)) {
    throw misfit(text, call);
  }
  const axis = layout === "csr" || layout === "bsr" ? batch : batch + 1;
  const blockSize = blocked ? (values.shape[axis + 1] ?? 0) : 1;
  const lines = (shape[axis] ?? 0) / Math.max(blockSize, 1);
  if (compressed.shape[batch] !== lines + 1 || plain.shape[batch] !== values.shape[batch]) throw misfit(text, call);
  for (let at = 0; at < batch; at += 1) {
    if (compressed.shape[at] !== shape[at] || plain.shape[at] !== shape[at] || values.shape[at] !== shape[at]) throw misfit(text, call);
  }
}

/** `(layout, (compressed indices, plain indices, values, size))` of torch 1.x, where the layout was always CSR. */
export function rebuildSparseCsr(args: Args, call: PickleCall): SparseRef {
  if (layoutNamed(args[0]) !== "sparse_csr") throw call.refuse("RANKCAST_TENSOR_TYPE", "a CSR tensor has another layout");
  return rebuildCompressed("csr", sequence(args[1], "the content of a sparse tensor", call), call);
}

function tensorPart(value: TreeValue | undefined, what: string, call: PickleCall): TensorRef {
  if (value instanceof TensorRef) return value;
  throw badArgument(call, `${what} of a sparse tensor is a tensor`, value);
}

function indexPart(value: TreeValue | undefined, what: string, call: PickleCall): TensorRef {
  const part = tensorPart(value, what, call);
  if (part.dtype === "int64" || part.dtype === "int32") return part;
  throw call.refuse("RANKCAST_TENSOR_LAYOUT", `${what} of a sparse tensor are ${part.dtype}, not integers`);
}

function describe(tensor: TensorRef): string {
  return `(${tensor.shape.join(", ")})`;
}

function misfit(text: string, call: PickleCall): Error {
  return call.refuse("RANKCAST_TENSOR_LAYOUT", `parts of a sparse tensor do not fit together: ${text}`);
}
