/**
 * TensorFlow.js models (`model.json` with a weight manifest). Weights lie one after the other in each group, and a group is the
 * concatenation of its files, so a weight may begin in one file and end in the next.
 */
import { FormatError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { enforceLimit } from "../limits/exceeded.ts";
import { type CheckpointTree, OpaqueValue, StorageRef, TensorRef, TreeDict, TreeList, type Warning } from "../manifest/checkpoint-tree.ts";
import type { ByteSource } from "../source/byte-source.ts";
import { bytesOf, type DType } from "../tensor/dtype.ts";
import { contiguousStrides } from "../tensor/strides.ts";
import type { CheckpointFormat, FormatInput } from "./checkpoint-format.ts";
import { readDocument, rootNames } from "./json-scanner-document.ts";
import { inOrder, openPart } from "./sharded-parts.ts";
import { leafBytes } from "./table-costs.ts";
import { GroupBytes } from "./tfjs-group.ts";
import { parseTfjsManifest, type TfjsGroup, type TfjsWeight } from "./tfjs-manifest.ts";

/** The TensorFlow.js format. */
export const tfjs: CheckpointFormat = {
  name: "tfjs",
  matches: async (input) => (await rootNames(input, ["weightsManifest"])).found.has("weightsManifest"),
  read: readTfjs,
};

/** What a stored value is. float16 is a quantisation of float32 in the manifest, and a dtype here. */
const DTYPES_BY_NAME: ReadonlyMap<string, DType> = new Map([
  ["float32", "float32"],
  ["int32", "int32"],
  ["bool", "bool"],
  ["uint8", "uint8"],
  ["uint16", "uint16"],
  ["complex64", "complex64"],
  ["float16", "float16"],
]);

async function readTfjs(input: FormatInput): Promise<CheckpointTree> {
  const { source, limits } = input;
  enforceLimit(limits, "indexBytes", source.sizeBytes, { file: source.name });
  const manifest = parseTfjsManifest(await readDocument(input), source.name, input);
  const paths = [...new Set(manifest.groups.flatMap(({ paths: each }) => each))];
  const sources = await inOrder(paths, (path) => openPart(input, path));
  const places = new Map(paths.map((path, index) => [path, { source: sources[index] as ByteSource, index }]));
  const root = new TreeDict();
  const warnings: Warning[] = [];
  for (const group of manifest.groups) {
    const files = group.paths.flatMap((path) => places.get(path) ?? []);
    await readGroup(input, group, new GroupBytes(files), root, warnings);
  }
  return { format: "tfjs", root, sources, checksums: "absent", fileMetadata: manifest.metadata, warnings };
}

async function readGroup(input: FormatInput, group: TfjsGroup, bytes: GroupBytes, root: TreeDict, warnings: Warning[]): Promise<void> {
  let at = 0;
  for (const weight of group.weights) {
    const nbytes = weight.dtype === "string" ? await textBytes(input, weight, bytes, at) : numberBytes(input, weight);
    if (at + nbytes > bytes.sizeBytes) truncated(input, weight, at + nbytes, bytes.sizeBytes);
    input.heap.charge(leafBytes(weight.shape.length, nbytes), input.source.name);
    const leaf = leafOf(weight, bytes, at, nbytes);
    if (leaf instanceof OpaqueValue)
      warnings.push({
        code: "tfjs-opaque-weight",
        message: `${quote(weight.name)} holds ${leaf.global.slice("tfjs.".length)} values and is kept opaque`,
      });
    root.entries.set(weight.name, leaf);
    at += nbytes;
  }
  if (at === bytes.sizeBytes) return;
  warnings.push({ code: "trailing-bytes", message: `${bytes.sizeBytes - at} bytes behind the last weight of a group were ignored` });
}

function leafOf(weight: TfjsWeight, bytes: GroupBytes, at: number, nbytes: number): TensorRef | OpaqueValue {
  const dtype = dtypeOf(weight);
  if (dtype === undefined)
    return new OpaqueValue(`tfjs.${weight.quantisedAs === null ? weight.dtype : `quantised ${weight.quantisedAs}`}`, [
      new TreeList("Size", [...weight.shape]),
    ]);
  const storage = new StorageRef({ nbytes, pieces: bytes.pieces(at, nbytes), key: weight.name });
  return new TensorRef({ dtype, shape: weight.shape, stride: contiguousStrides(weight.shape), storageOffset: 0, storage });
}

/** The dtype of a weight whose stored bytes are its values; undefined for text and for integers that still need a scale. */
function dtypeOf(weight: TfjsWeight): DType | undefined {
  if (weight.quantisedAs !== null) return weight.quantisedAs === "float16" ? "float16" : undefined;
  return DTYPES_BY_NAME.get(weight.dtype);
}

/** Bytes of a weight of numbers, quantised or not. */
function numberBytes(input: FormatInput, weight: TfjsWeight): number {
  const stored = DTYPES_BY_NAME.get(weight.quantisedAs ?? weight.dtype);
  // Without its size nothing behind it can be found either.
  if (stored === undefined)
    throw new FormatError(
      "RANKCAST_UNSUPPORTED",
      `${input.source.name}: ${quote(weight.name)} has values of unknown type ${quote(weight.quantisedAs ?? weight.dtype)}`,
      {
        details: { file: input.source.name, key: weight.name, offset: weight.at, dtype: weight.quantisedAs ?? weight.dtype },
      },
    );
  const nbytes = weight.shape.reduce((product, size) => product * Math.max(size, 1), bytesOf(stored, 1));
  if (!Number.isSafeInteger(nbytes))
    throw new FormatError(
      "RANKCAST_INDEX_SYNTAX",
      `${input.source.name}: ${quote(weight.name)} [${weight.shape}] has more than 2^53 bytes`,
      {
        details: { file: input.source.name, key: weight.name, offset: weight.at },
      },
    );
  return weight.shape.includes(0) ? 0 : nbytes;
}

/** Short texts are passed many at a read. */
const TEXT_WINDOW_BYTES = 64 * 1024;

/** Texts are a 32-bit length and UTF-8 bytes each (`decodeWeights` in `io_utils.ts`), so their size stands in the data. */
async function textBytes(input: FormatInput, weight: TfjsWeight, bytes: GroupBytes, begin: number): Promise<number> {
  const count = weight.shape.reduce((product, size) => product * size, 1);
  let at = begin;
  let window: Uint8Array = new Uint8Array(0);
  let windowAt = 0;
  for (let done = 0; done < count; done += 1) {
    if (at + 4 > bytes.sizeBytes) truncated(input, weight, at + 4, bytes.sizeBytes);
    if (at < windowAt || at + 4 > windowAt + window.length) {
      windowAt = at;
      window = await bytes.read(at, Math.min(TEXT_WINDOW_BYTES, bytes.sizeBytes - at), input.signal);
    }
    at += 4 + new DataView(window.buffer, window.byteOffset + at - windowAt, 4).getUint32(0, true);
  }
  return at - begin;
}

function truncated(input: FormatInput, weight: TfjsWeight, end: number, sizeBytes: number): never {
  throw new FormatError(
    "RANKCAST_TRUNCATED",
    `${input.source.name}: ${quote(weight.name)} ends at byte ${end} of its group, the files have ${sizeBytes}`,
    {
      details: { file: input.source.name, key: weight.name, offset: end, sizeBytes },
    },
  );
}
