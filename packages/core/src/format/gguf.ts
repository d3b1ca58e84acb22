/**
 * GGUF, the file of llama.cpp. Tensors of plain elements are read; quantised blocks are listed as opaque values, because their meaning needs
 * kernels of their own.
 */
import { FormatError } from "../errors/checkpoint-error.ts";
import { printable, quote } from "../errors/quote.ts";
import { type CheckpointTree, OpaqueValue, StorageRef, TensorRef, TreeDict, TreeList, type Warning } from "../manifest/checkpoint-tree.ts";
import type { ByteSource } from "../source/byte-source.ts";
import { bytesOf, type DType, traitsOf } from "../tensor/dtype.ts";
import { contiguousStrides } from "../tensor/strides.ts";
import type { CheckpointFormat, FormatInput } from "./checkpoint-format.ts";
import { type GgufHeader, type GgufTensor, readGgufHeader, startsLikeGguf } from "./gguf-header.ts";
import { GGML_BLOCK_TYPES, GGML_DTYPES } from "./gguf-types.ts";
import { leafBytes } from "./table-costs.ts";

/** The GGUF format. */
export const gguf: CheckpointFormat = { name: "gguf", matches: ({ head }) => startsLikeGguf(head), read: readGguf };

async function readGguf({ source, limits, heap, signal }: FormatInput): Promise<CheckpointTree> {
  const header = await readGgufHeader({ source, limits, heap, signal });
  // Vocabularies and adapters' metadata come as GGUF too; such a file is no checkpoint.
  if (header.tensors.length === 0) {
    throw new FormatError("RANKCAST_UNKNOWN_FORMAT", `${printable(source.name)}: a GGUF file without tensors`, {
      details: { file: source.name, found: "a GGUF file without tensors" },
    });
  }
  const root = new TreeDict();
  const blocks = new Map<string, number>();
  const spans: Span[] = [];
  for (const tensor of header.tensors) {
    heap.charge(leafBytes(tensor.shape.length, 1) + SPAN_BYTES, source.name);
    const dtype = GGML_DTYPES.get(tensor.type);
    if (dtype === undefined) {
      requireInside(source, header, tensor, 0);
      const type = GGML_BLOCK_TYPES.get(tensor.type) ?? `type ${tensor.type}`;
      blocks.set(type, (blocks.get(type) ?? 0) + 1);
      root.entries.set(tensor.name, new OpaqueValue(`ggml.${type}`, [new TreeList("Size", [...tensor.shape])]));
      continue;
    }
    const nbytes = tensorBytes(source, tensor, dtype);
    requireInside(source, header, tensor, nbytes);
    if (nbytes > 0) spans.push({ tensor, end: tensor.offset + nbytes });
    root.entries.set(tensor.name, leafOf(header, tensor, dtype, nbytes));
  }
  requireDisjoint(source, spans);
  const warnings = [...blocks].map(
    ([type, count]): Warning => ({
      code: "gguf-quantised",
      message: `${count} tensors of type ${type} are quantised blocks and are kept opaque`,
    }),
  );
  return { format: "gguf", root, sources: [source], checksums: "absent", fileMetadata: header.metadata, warnings };
}

/** A span and its places in two lists. */
const SPAN_BYTES = 72;

interface Span {
  readonly tensor: GgufTensor;
  readonly end: number;
}

function leafOf(header: GgufHeader, tensor: GgufTensor, dtype: DType, nbytes: number): TensorRef {
  const extent = {
    type: "range",
    source: 0,
    offset: header.dataBegin + tensor.offset,
    storedBytes: nbytes,
    encoding: "stored",
    crc32: null,
  } as const;
  const storage = new StorageRef({
    nbytes,
    pieces: nbytes === 0 ? [] : [{ at: 0, nbytes, extent }],
    swapBytes: header.littleEndian ? 1 : traitsOf(dtype).swapBytes,
    key: tensor.name,
  });
  return new TensorRef({ dtype, shape: tensor.shape, stride: contiguousStrides(tensor.shape), storageOffset: 0, storage });
}

function tensorBytes(source: ByteSource, tensor: GgufTensor, dtype: DType): number {
  const nbytes = tensor.shape.reduce((product, size) => product * Math.max(size, 1), bytesOf(dtype, 1));
  if (!Number.isSafeInteger(nbytes)) fail(source, tensor, `shape [${tensor.shape}] has more than 2^53 bytes`);
  return tensor.shape.includes(0) ? 0 : nbytes;
}

function requireInside(source: ByteSource, header: GgufHeader, tensor: GgufTensor, nbytes: number): void {
  if (tensor.offset % header.alignment !== 0)
    fail(source, tensor, `offset ${tensor.offset} is no multiple of the alignment ${header.alignment}`);
  const end = header.dataBegin + tensor.offset + nbytes;
  if (end <= source.sizeBytes) return;
  throw new FormatError(
    "RANKCAST_TRUNCATED",
    `${source.name}: ${quote(tensor.name)} ends at byte ${end}, the file has ${source.sizeBytes}`,
    {
      details: { file: source.name, key: tensor.name, offset: end, sizeBytes: source.sizeBytes },
    },
  );
}

/** Tensors that share bytes would make a small file fill any memory. */
function requireDisjoint(source: ByteSource, spans: readonly Span[]): void {
  let before: Span | undefined;
  for (const span of [...spans].sort((a, b) => a.tensor.offset - b.tensor.offset)) {
    if (before !== undefined && span.tensor.offset < before.end)
      fail(source, span.tensor, `the bytes from ${span.tensor.offset} on belong to ${quote(before.tensor.name)}`);
    before = span;
  }
}

function fail(source: ByteSource, tensor: GgufTensor, problem: string): never {
  throw new FormatError("RANKCAST_GGUF_HEADER", `${source.name}: ${quote(tensor.name)}: ${problem}, at byte ${tensor.at}`, {
    details: { file: source.name, key: tensor.name, offset: tensor.at },
  });
}
