/**
 * A model in several files with an index (`model.safetensors.index.json`, `pytorch_model.bin.index.json`, diffusers' variants). The map is
 * authoritative: a name comes from the file the map gives, a file must hold all names given to it, and no name may stand in two files,
 * because then two readers could load two different models.
 */
import { FormatError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { enforceLimit } from "../limits/exceeded.ts";
import { type CheckpointTree, TreeDict, type TreeValue, type Warning } from "../manifest/checkpoint-tree.ts";
import type { ByteSource } from "../source/byte-source.ts";
import type { CheckpointFormat, FormatInput } from "./checkpoint-format.ts";
import { type RootNames, readDocument, rootNames } from "./json-scanner-document.ts";
import { moveStorages } from "./move-storages.ts";
import { parseShardIndex, type ShardIndex } from "./sharded-index.ts";
import { inOrder, openPart, partInput } from "./sharded-parts.ts";

/** Reads one shard by whatever single-file format it has. */
export type ReadShard = (input: FormatInput) => Promise<CheckpointTree>;

/** The sharded format. Shards are read by `readShard`, so that this module does not depend on every other format. */
export function shardedFormat(readShard: ReadShard): CheckpointFormat {
  return {
    name: "sharded",
    matches: async (input) => looksLikeIndex(await rootNames(input, ["weight_map", "metadata"])),
    read: (input) => readSharded(input, readShard),
  };
}

/** An index that lost its map is still an index, and its fault can be named. */
function looksLikeIndex({ found, count }: RootNames): boolean {
  return found.has("weight_map") || (count === 1 && found.has("metadata"));
}

/** Names of shards come all over an index, but hardly ever none of them in the part that may be decoded without. */
const PARSES_MAX = 3;
/** Files that allow hardly more are not worth another try, which also leaves what the first one made to be collected. */
const WORTH_A_PARSE = 1.5;

interface Shard {
  readonly name: string;
  readonly tree: CheckpointTree;
}

async function readSharded(input: FormatInput, readShard: ReadShard): Promise<CheckpointTree> {
  const file = input.source.name;
  enforceLimit(input.limits, "indexBytes", input.source.sizeBytes, { file });
  const index = await parseIndex(input, await readDocument(input));
  const shards = await inOrder(index.shards, async (name): Promise<Shard> => {
    const part = await partInput(input, await openPart(input, name));
    return { name, tree: await readShard(part) };
  });
  return joinShards(input, index, shards);
}

/**
 * The index. What it says may take more than its own size allows, and the files that it names count, too: when it does, those named so far are opened and
 * it is read again.
 */
async function parseIndex(input: FormatInput, document: Uint8Array): Promise<ShardIndex> {
  const { heap } = input;
  const { usedBytes } = heap;
  for (let tries = 1; ; tries += 1) {
    const named = new Set<string>();
    try {
      return parseShardIndex(document, input.source.name, input, (shard) => named.add(shard));
    } catch (error) {
      if (tries === PARSES_MAX || heap.usedBytes <= heap.allowedBytes) throw error;
      const { allowedBytes } = heap;
      await inOrder([...named], (name) => openPart(input, name));
      if (heap.allowedBytes < allowedBytes * WORTH_A_PARSE) throw error;
      heap.release(heap.usedBytes - usedBytes);
    }
  }
}

function joinShards(input: FormatInput, index: ShardIndex, shards: readonly Shard[]): CheckpointTree {
  const file = input.source.name;
  const root = new TreeDict();
  const owned = new Map(index.shards.map((name) => [name, new Set<string>()]));
  // The map's order is the model's order; places are taken first and filled shard by shard.
  for (const [name, owner] of index.weightMap) {
    root.entries.set(name, null);
    owned.get(owner)?.add(name);
  }
  const sources: ByteSource[] = [];
  const warnings: Warning[] = [];
  const fileMetadata = new Map<string, string>();
  for (const shard of shards) {
    moveStorages(shard.tree.root, { sources: sources.length, bytes: 0 }, (nbytes) => input.heap.charge(nbytes, file));
    const extra = takeNames({ file, index, shard, wanted: owned.get(shard.name) ?? new Set(), root }, shard.tree.root);
    sources.push(...shard.tree.sources);
    warnings.push(...shard.tree.warnings, ...extra);
    for (const [key, value] of shard.tree.fileMetadata) if (!fileMetadata.has(key)) fileMetadata.set(key, value);
  }
  for (const [key, value] of index.metadata) fileMetadata.set(key, value);
  return { format: "sharded", root, sources, checksums: commonChecksums(shards.map(({ tree }) => tree)), fileMetadata, warnings };
}

interface Taking {
  readonly file: string;
  readonly index: ShardIndex;
  readonly shard: Shard;
  /** Names that the map gives to this shard; emptied as they are found. */
  readonly wanted: Set<string>;
  readonly root: TreeDict;
}

/** Moves the names of one shard that the map gives to it into `root`; warns of names the map does not know. */
function takeNames(taking: Taking, tree: TreeValue): Warning[] {
  const { index, shard, wanted, root } = taking;
  if (!(tree instanceof TreeDict)) return mismatch(taking, undefined, "is no table of names and tensors");
  root.attributes ??= tree.attributes;
  const extra: string[] = [];
  for (const [name, value] of tree.entries) {
    const owner = typeof name === "string" ? index.weightMap.get(name) : undefined;
    if (typeof name !== "string" || (owner === undefined && !isTied(taking, name))) extra.push(String(name));
    else if (owner === undefined || owner === shard.name) root.entries.set(name, value);
    else if (!isTied(taking, name)) mismatch(taking, name, `holds ${quote(name)}, which the index gives to ${quote(owner)}`);
    wanted.delete(String(name));
  }
  const [absent] = wanted;
  if (absent !== undefined)
    mismatch(taking, absent, `does not hold ${quote(absent)}${wanted.size > 1 ? ` and ${wanted.size - 1} more` : ""}`);
  if (extra.length === 0) return [];
  const message = `${quote(shard.name)} holds ${extra.length} names that the index does not list, ${quote(extra[0] ?? "")} first`;
  return [{ code: "names-outside-index", message }];
}

/** Whether the shard does not hold the name itself, but says that it is another name's tensor. */
function isTied({ index, shard }: Taking, name: string): boolean {
  const kept = shard.tree.fileMetadata.get(name);
  return kept !== undefined && index.weightMap.get(kept) === shard.name;
}

/** Whether checksums cover all shards, some, or none. */
function commonChecksums(trees: readonly CheckpointTree[]): CheckpointTree["checksums"] {
  const [first, ...others] = new Set(trees.map(({ checksums }) => checksums));
  return first === undefined ? "absent" : others.length === 0 ? first : "partial";
}

function mismatch({ file, shard }: Taking, key: string | undefined, problem: string): never {
  throw new FormatError("RANKCAST_INDEX_MISMATCH", `${file}: ${quote(shard.name)} ${problem}`, {
    details: { file, path: shard.name, ...(key === undefined ? {} : { key }) },
  });
}
