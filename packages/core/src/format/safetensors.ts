/** safetensors: a length, a JSON header, tensor bytes. Specification: the README of huggingface/safetensors, and its reference reader. */
import { FormatError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { type CheckpointTree, TensorRef, TreeDict, type Warning } from "../manifest/checkpoint-tree.ts";
import { runTraits } from "../manifest/storage-ref.ts";
import type { ByteSource } from "../source/byte-source.ts";
import type { CheckpointFormat, FormatInput } from "./checkpoint-format.ts";
import { isShardFile, readSafetensorsShards } from "./dcp-safetensors.ts";
import { headerLength, openSafetensors, safetensorsLeaf } from "./safetensors-file.ts";
import type { SafetensorsEntry } from "./safetensors-table.ts";

const LENGTH_BYTES = 8;
/** Lengths above this are no header but text or a foreign magic number, read as a length. */
const PLAUSIBLE_HEADER_BYTES = 2 ** 40;
const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;

/** The safetensors format. */
export const safetensors: CheckpointFormat = {
  name: "safetensors",
  matches: ({ head, source }) => {
    const length = headerLength(head);
    if (length === undefined || length === 0) return false;
    // A length that no file has is still one when it looks like a number: half of it zero, as in no text and no magic number.
    if (length > PLAUSIBLE_HEADER_BYTES) return head[LENGTH_BYTES] === OPEN_BRACE && zerosOf(head.subarray(0, LENGTH_BYTES)) >= 4;
    return startsWithBrace(head) || (length + LENGTH_BYTES <= source.sizeBytes && startsLikeJson(head));
  },
  read: readSafetensors,
};

async function readSafetensors(input: FormatInput): Promise<CheckpointTree> {
  const file = await openSafetensors(input);
  if (isShardFile(file)) return readSafetensorsShards(input, file);
  const { table } = file;
  const warnings: Warning[] = [];
  const charge = (nbytes: number): void => input.heap.charge(nbytes, input.source.name);
  const traits = runTraits(0);
  let row = 0;
  // The table of names becomes the dict: a second one would be as large as the tensors.
  table.names.forEach((_, name, names) => {
    const entry = table.entry(row, name);
    requireRepresentable(input.source, entry);
    const leaf = safetensorsLeaf(file, entry, traits, charge);
    if (leaf.kind === "opaque") warnings.push(packedWarning(entry));
    names.set(name, leaf);
    row += 1;
  });
  table.letGo();
  const root = new TreeDict("dict", table.names);
  restoreTied(root, file.metadata);
  return { format: "safetensors", root, sources: [input.source], checksums: "absent", fileMetadata: file.metadata, warnings };
}

/**
 * `save_model` of the Python library drops all but one of several names for one tensor and records `metadata[dropped] = kept`
 * (`safetensors/torch.py`). Without this the dropped names would be reported missing. `format` is a field of its own.
 */
function restoreTied(root: TreeDict, metadata: ReadonlyMap<string, string>): void {
  const restored: [string, TensorRef][] = [];
  for (const [dropped, kept] of metadata) {
    const leaf = root.entries.get(kept);
    if (leaf instanceof TensorRef && dropped !== "format" && !root.entries.has(dropped)) restored.push([dropped, leaf]);
  }
  // Only afterwards: a name that was dropped itself cannot stand for another.
  for (const [dropped, leaf] of restored) root.entries.set(dropped, leaf);
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

/** JSON, but not the object it must be: behind a length that fits, that is a damaged header and nothing else. */
function startsLikeJson(head: Uint8Array): boolean {
  const [first, second, third] = head.subarray(LENGTH_BYTES);
  return first === OPEN_BRACKET || (first === 0xef && second === 0xbb && third === 0xbf);
}

function zerosOf(bytes: Uint8Array): number {
  return bytes.filter((byte) => byte === 0).length;
}

/** Files may pad with white space in front, up to a page and more, so that the data starts where the writer wants it. */
function startsWithBrace(head: Uint8Array): boolean {
  const first = head.findIndex((byte, at) => at >= LENGTH_BYTES && byte !== 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d);
  return first === -1 ? head.length > LENGTH_BYTES : head[first] === OPEN_BRACE;
}
