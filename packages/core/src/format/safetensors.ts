/** safetensors: a length, a JSON header, tensor bytes. Specification: the README of huggingface/safetensors, and its reference reader. */
import { FormatError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { type CheckpointTree, OpaqueValue, StorageRef, TensorRef, TreeDict, TreeList, type Warning } from "../manifest/checkpoint-tree.ts";
import { type ByteSource, readBytes } from "../source/byte-source.ts";
import { contiguousStrides } from "../tensor/strides.ts";
import type { CheckpointFormat, FormatInput } from "./checkpoint-format.ts";
import { failSafetensors } from "./safetensors-fault.ts";
import { parseSafetensorsHeader, type SafetensorsEntry, type SafetensorsHeader } from "./safetensors-header.ts";
import { validateSafetensorsLayout } from "./safetensors-layout.ts";

const LENGTH_BYTES = 8;
/** Lengths above this are no header but text or a foreign magic number, read as a length. */
const PLAUSIBLE_HEADER_BYTES = 2 ** 40;
const OPEN_BRACE = 0x7b;

/** The safetensors format. */
export const safetensors: CheckpointFormat = {
  name: "safetensors",
  matches: ({ head }) => {
    const length = headerLength(head);
    return length !== undefined && length > 0 && length <= PLAUSIBLE_HEADER_BYTES && startsWithBrace(head);
  },
  read: readSafetensors,
};

/** A validated header together with where the data starts. */
export interface SafetensorsFile extends SafetensorsHeader {
  /** First byte of tensor data in the file. */
  readonly dataBegin: number;
}

/**
 * Reads and validates the header: when this returns, every entry's offsets are safe integers inside the file, and together they cover it.
 * @throws {FormatError} RANKCAST_SAFETENSORS_HEADER with the reference's variant, RANKCAST_SAFETENSORS_TRUNCATED, RANKCAST_LIMIT.
 */
export async function openSafetensors(input: Pick<FormatInput, "source" | "head" | "limits" | "signal">): Promise<SafetensorsFile> {
  const { source, head, limits, signal } = input;
  const file = source.name;
  const length = headerLength(head);
  if (length === undefined)
    failSafetensors({ file, variant: "HeaderTooSmall", problem: `${source.sizeBytes} bytes are too few for a header`, offset: 0 });
  if (length > limits.safetensorsHeaderBytes)
    failSafetensors({
      file,
      variant: "HeaderTooLarge",
      problem: `a header of ${length} bytes is above the limit safetensorsHeaderBytes = ${limits.safetensorsHeaderBytes}`,
      offset: 0,
    });
  const dataBegin = LENGTH_BYTES + length;
  if (dataBegin > source.sizeBytes)
    failSafetensors({
      file,
      variant: "InvalidHeaderLength",
      problem: `a header of ${length} bytes in a file of ${source.sizeBytes}`,
      offset: 0,
      remedy: "Download or copy the file again: it was cut short, or it is no safetensors file.",
    });
  const bytes = dataBegin <= head.length ? head.subarray(LENGTH_BYTES, dataBegin) : await readBytes(source, LENGTH_BYTES, length, signal);
  const header = parseSafetensorsHeader(bytes, { file, limits });
  requireCovered(source, dataBegin, validateSafetensorsLayout([...header.entries.values()], file));
  return { ...header, dataBegin };
}

/** One tensor of a validated file as a leaf of the tree; `source` is the index of the file among the tree's sources. */
export function safetensorsLeaf(file: SafetensorsFile, entry: SafetensorsEntry, source: number): TensorRef | OpaqueValue {
  const shape = torchShape(entry);
  if (shape === undefined) return new OpaqueValue(`safetensors.${entry.dtype.name}`, [new TreeList("Size", [...entry.shape])]);
  const nbytes = Number(entry.end) - Number(entry.begin);
  const extent = {
    type: "range",
    source,
    offset: file.dataBegin + Number(entry.begin),
    storedBytes: nbytes,
    encoding: "stored",
    crc32: null,
  } as const;
  const storage = new StorageRef({ nbytes, pieces: nbytes === 0 ? [] : [{ at: 0, nbytes, extent }], key: entry.name });
  return new TensorRef({ dtype: entry.dtype.dtype, shape, stride: contiguousStrides(shape), storageOffset: 0, storage });
}

async function readSafetensors(input: FormatInput): Promise<CheckpointTree> {
  const file = await openSafetensors(input);
  const root = new TreeDict();
  const warnings: Warning[] = [];
  for (const entry of file.entries.values()) {
    requireRepresentable(input.source, entry);
    const leaf = safetensorsLeaf(file, entry, 0);
    if (leaf.kind === "opaque") warnings.push(packedWarning(entry));
    root.entries.set(entry.name, leaf);
  }
  restoreTied(root, file.metadata);
  return { format: "safetensors", root, sources: [input.source], checksums: "absent", fileMetadata: file.metadata, warnings };
}

/**
 * `save_model` of the Python library drops all but one of several names for one tensor and records `metadata[dropped] = kept`
 * (`safetensors/torch.py`). Without this the dropped names would be reported missing. `format` is a field of its own.
 */
function restoreTied(root: TreeDict, metadata: ReadonlyMap<string, string>): void {
  const stored = new Map(root.entries);
  for (const [dropped, kept] of metadata) {
    const leaf = stored.get(kept);
    if (leaf instanceof TensorRef && dropped !== "format" && !stored.has(dropped)) root.entries.set(dropped, leaf);
  }
}

/** The header's shape in torch's counting, undefined where torch has no shape for it (pairs of 4-bit values that cross a row). */
function torchShape(entry: SafetensorsEntry): readonly number[] | undefined {
  const shape = entry.shape as readonly number[];
  if (entry.dtype.packed === 1) return shape;
  const last = shape.at(-1);
  return last === undefined || last % entry.dtype.packed !== 0 ? undefined : [...shape.slice(0, -1), last / entry.dtype.packed];
}

function packedWarning(entry: SafetensorsEntry): Warning {
  return {
    code: "safetensors-packed-rows",
    message: `${quote(entry.name)} is kept opaque: rows of ${entry.dtype.name} [${entry.shape}] do not end on a byte`,
  };
}

/** Sizes above 2^53-1 are legal beside a size of 0; no library here could show such a tensor. */
function requireRepresentable(source: ByteSource, entry: SafetensorsEntry): void {
  if (entry.shape.every((size) => typeof size === "number")) return;
  throw new FormatError("RANKCAST_UNSUPPORTED", `${source.name}: ${quote(entry.name)} [${entry.shape}] has a size above 2^53-1`, {
    details: { file: source.name, key: entry.name, offset: entry.at, feature: "sizes above 2^53-1" },
  });
}

function requireCovered(source: ByteSource, dataBegin: number, dataBytes: number | bigint): void {
  const found = source.sizeBytes - dataBegin;
  if (dataBytes === found) return;
  const file = source.name;
  if (dataBytes < found)
    failSafetensors({
      file,
      variant: "MetadataIncompleteBuffer",
      problem: `${BigInt(found) - BigInt(dataBytes)} bytes follow the last tensor`,
      offset: dataBegin + Number(dataBytes),
    });
  throw new FormatError(
    "RANKCAST_SAFETENSORS_TRUNCATED",
    `${file}: the header promises ${dataBytes} bytes of tensors, the file ends after ${found}, at byte ${source.sizeBytes}`,
    {
      details: {
        file,
        variant: "MetadataIncompleteBuffer",
        offset: source.sizeBytes,
        expected: String(dataBytes),
        found,
      },
    },
  );
}

/** The length in front of the header, rounded to a double; undefined when the file is shorter than that field. */
function headerLength(head: Uint8Array): number | undefined {
  if (head.length < LENGTH_BYTES) return undefined;
  return Number(new DataView(head.buffer, head.byteOffset, LENGTH_BYTES).getBigUint64(0, true));
}

/** Files may pad with white space in front, up to a page and more, so that the data starts where the writer wants it. */
function startsWithBrace(head: Uint8Array): boolean {
  const first = head.findIndex((byte, at) => at >= LENGTH_BYTES && byte !== 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d);
  return first === -1 ? head.length > LENGTH_BYTES : head[first] === OPEN_BRACE;
}
