/**
 * Distributed checkpoints in safetensors files (`torch/distributed/checkpoint/hf_storage.py` with `save_sharded=True`): each file holds the
 * chunks of one rank, and its `__metadata__` says where they belong. There is no index; the files of the directory are the checkpoint, and the
 * farthest chunk gives a tensor its size.
 */
import { FormatError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { enforceLimit } from "../limits/exceeded.ts";
import { type CheckpointTree, TensorRef, TreeDict } from "../manifest/checkpoint-tree.ts";
import { runTraits } from "../manifest/storage-ref.ts";
import type { ByteSource } from "../source/byte-source.ts";
import type { FormatInput } from "./checkpoint-format.ts";
import { assembleChunks, type DcpChunk } from "./dcp-chunks.ts";
import { JsonScanner } from "./json-scanner.ts";
import { openSafetensors, type SafetensorsFile, safetensorsLeaf } from "./safetensors-file.ts";
import { inOrder, openPart, partInput } from "./sharded-parts.ts";
import { leafBytes, rowBytes } from "./table-costs.ts";

/** `CUSTOM_METADATA_KEY` and `SAVED_OFFSETS_KEY` in `_hf_utils.py`. */
const SHARDING_FIELD = "DCP_SHARDING_INFO";
const OFFSETS_FIELD = "saved_offsets";
const SUFFIX = ".safetensors";
/** A chunk and its place in a list. */
const CHUNK_BYTES = 240;

/** Whether a file holds chunks, which must never be taken for whole tensors. */
export function isShardFile(file: SafetensorsFile): boolean {
  return file.metadata.has(SHARDING_FIELD);
}

interface ShardFile {
  readonly source: ByteSource;
  readonly file: SafetensorsFile;
}

/**
 * Reads the checkpoint that `entry`, one of its files, belongs to.
 * @throws {FormatError} RANKCAST_DCP_METADATA, RANKCAST_DCP_CHUNKS, RANKCAST_UNSUPPORTED when the other files cannot be listed, RANKCAST_LIMIT.
 */
export async function readSafetensorsShards(input: FormatInput, entry: SafetensorsFile): Promise<CheckpointTree> {
  const names = input.nesting > 0 ? null : await input.siblings.list();
  const files = names?.filter((name) => name.endsWith(SUFFIX) && !name.includes("/")) ?? [];
  if (files.length === 0)
    throw new FormatError(
      "RANKCAST_UNSUPPORTED",
      `${input.source.name}: holds chunks of a distributed checkpoint, and its other files are out of reach`,
      {
        details: { file: input.source.name, feature: "one shard of a distributed checkpoint" },
        remedy: "Pass the directory of the checkpoint.",
      },
    );
  enforceLimit(input.limits, "indexShards", files.length, { file: input.source.name });
  const shards = await inOrder(files, async (name): Promise<ShardFile> => {
    const source = await openPart(input, name);
    return { source, file: source.name === input.source.name ? entry : await openSafetensors(await partInput(input, source)) };
  });
  const root = new TreeDict();
  for (const [name, chunks] of collectChunks(shards, input)) {
    const shape = chunks.reduce(
      (far, { offsets, sizes }) => sizes.map((size, axis) => Math.max(far[axis] ?? 0, size + (offsets[axis] ?? 0))),
      [] as number[],
    );
    root.entries.set(name, assembleChunks({ file: input.source.name, name, shape }, chunks));
  }
  const fileMetadata = new Map([...entry.metadata].filter(([key]) => key !== SHARDING_FIELD));
  return { format: "dcp", root, sources: shards.map(({ source }) => source), checksums: "absent", fileMetadata, warnings: [] };
}

/** All chunks by tensor name, in the order of files and headers. */
function collectChunks(shards: readonly ShardFile[], { limits, heap }: Pick<FormatInput, "limits" | "heap">): Map<string, DcpChunk[]> {
  const tensors = new Map<string, DcpChunk[]>();
  let count = 0;
  for (const [index, { source, file }] of shards.entries()) {
    const sharding = parseSharding(source.name, file, { limits, heap });
    const charge = (nbytes: number): void => heap.charge(nbytes, source.name);
    const traits = runTraits(index);
    let row = 0;
    for (const name of file.table.names.keys()) {
      const entry = file.table.entry(row, name);
      row += 1;
      // What the chunk is joined to, and a list of chunks.
      charge(leafBytes(entry.shape.length, Number(entry.end) - Number(entry.begin)) + CHUNK_BYTES);
      const leaf = safetensorsLeaf(file, entry, traits, charge);
      if (!(leaf instanceof TensorRef)) return fail(source.name, `${quote(entry.name)} has rows that end inside a byte`);
      const offsets =
        sharding?.get(entry.name) ??
        (sharding === null ? leaf.shape.map(() => 0) : fail(source.name, `does not say where ${quote(entry.name)} belongs`));
      if (offsets.length !== leaf.shape.length) fail(source.name, `gives ${quote(entry.name)} [${leaf.shape}] the place [${offsets}]`);
      count += 1;
      enforceLimit(limits, "dcpChunks", count, { file: source.name });
      const chunks = tensors.get(entry.name) ?? [];
      tensors.set(entry.name, chunks);
      chunks.push({ offsets, sizes: leaf.shape, leaf });
    }
    file.table.letGo();
  }
  return tensors;
}

/** `{name: {"saved_offsets": [...]}}`, or null for a file of whole tensors. */
function parseSharding(
  file: string,
  { metadata }: SafetensorsFile,
  { limits, heap }: Pick<FormatInput, "limits" | "heap">,
): Map<string, readonly number[]> | null {
  const text = metadata.get(SHARDING_FIELD);
  if (text === undefined) return null;
  const places = new Map<string, readonly number[]>();
  heap.charge(text.length, file);
  const scanner = new JsonScanner(Buffer.from(text), {
    limits,
    where: file,
    fail: (_fault, problem, offset) => fail(file, `${SHARDING_FIELD}: ${problem}, at its byte ${offset}`),
  });
  scanner.beginObject();
  for (let name = scanner.nextKey(); name !== null; name = scanner.nextKey()) {
    if (places.has(name)) fail(file, `${SHARDING_FIELD}: a second ${quote(name)}`);
    const { textBytes } = scanner;
    const offsets = readOffsets(scanner);
    heap.charge(rowBytes(textBytes, offsets.length), file);
    places.set(name, offsets);
  }
  scanner.end();
  return places;
}

function readOffsets(scanner: JsonScanner): number[] {
  const offsets: number[] = [];
  scanner.beginObject();
  for (let field = scanner.nextKey(); field !== null; field = scanner.nextKey()) {
    if (field !== OFFSETS_FIELD) {
      scanner.skipValue();
      continue;
    }
    scanner.beginArray();
    while (scanner.nextElement()) offsets.push(scanner.readInteger());
  }
  // An array that grew has room for more.
  return offsets.slice();
}

function fail(file: string, problem: string): never {
  throw new FormatError("RANKCAST_DCP_METADATA", `${file}: ${problem}`, { details: { file } });
}
