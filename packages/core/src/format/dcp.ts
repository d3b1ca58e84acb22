/**
 * A directory written by torch.distributed.checkpoint: `.metadata` says which tensor is where, and data files hold one complete torch archive
 * per item, back to back. Source: `torch/distributed/checkpoint/{metadata,filesystem,planner}.py`.
 */
import { FormatError } from "../errors/checkpoint-error.ts";
import { printable, quote } from "../errors/quote.ts";
import { enforceLimit } from "../limits/exceeded.ts";
import { type CheckpointTree, TensorRef, type TreeValue, type Warning } from "../manifest/checkpoint-tree.ts";
import { readPickle } from "../pickle/read-pickle.ts";
import { type ByteSource, readBytes } from "../source/byte-source.ts";
import { letGo } from "../source/let-go.ts";
import { sliceSource } from "../source/slice-source.ts";
import type { CheckpointFormat, FormatInput } from "./checkpoint-format.ts";
import { assembleChunks, type DcpChunk } from "./dcp-chunks.ts";
import { type DcpItem, type DcpMetadata, type DcpSlice, parseDcpMetadata } from "./dcp-metadata.ts";
import { mergeRanks, otherRanks, RANK_METADATA } from "./dcp-ranks.ts";
import { nestLeaves } from "./dcp-tree.ts";
import { moveStorages } from "./move-storages.ts";
import { inOrder, openPart, partInput } from "./sharded-parts.ts";
import { torchZip } from "./torch-zip.ts";

const FILE_NAME = /(^|[/\\])(__\d{1,9})?\.metadata$/;
const MODULE = "torch.distributed.checkpoint.metadata";
const PICKLE = 0x80;
/** `__0_0.distcp`, say. The length that stands before a name is no byte of one. */
const DATA_SUFFIX = ".distcp";
const DATA_NAME_BYTES_MAX = 64;

/** The format of torch.distributed.checkpoint. */
export const dcp: CheckpointFormat = {
  name: "dcp",
  // The directory's entry file has a fixed name; a copy under another name is told by the class it begins with.
  matches: ({ source, head }) => FILE_NAME.test(source.name) || (head[0] === PICKLE && Buffer.from(head).includes(MODULE)),
  read: readDcp,
};

async function readDcp(input: FormatInput): Promise<CheckpointTree> {
  const { source } = input;
  const own = await readMetadata(input, source);
  const names = RANK_METADATA.test(source.name) ? await input.siblings.list() : null;
  const others = await inOrder(otherRanks(names ?? [], source.name), async (name) => readMetadata(input, await openPart(input, name)));
  const metadata = others.length === 0 ? own : mergeRanks([own, ...others], source.name);
  const items = await ItemReader.open(input, metadata);
  const leaves = await inOrder(metadata.items, async (item) => ({
    name: item.name,
    path: metadata.paths.get(item.name) ?? [item.name],
    value: await items.read(item),
  }));
  return {
    format: "dcp",
    root: nestLeaves(leaves, source.name),
    sources: items.sources,
    checksums: items.checksums,
    fileMetadata: new Map(metadata.version === null ? [] : [["version", metadata.version]]),
    warnings: items.warnings,
  };
}

async function readMetadata(input: FormatInput, source: ByteSource): Promise<DcpMetadata> {
  const { limits, heap, signal } = input;
  enforceLimit(limits, "dcpMetadataBytes", source.sizeBytes, { file: source.name });
  const bytes = await readBytes(source, 0, source.sizeBytes, signal);
  await countDataFiles(input, bytes);
  // Bytes and unpickled values are gone when this is done; what is made of them stays.
  const passing = heap.passing();
  passing.charge(source.sizeBytes, source.name);
  const pickled = readPickle(bytes, { limits, heap: passing, where: { file: source.name, baseOffset: 0 } });
  const metadata = parseDcpMetadata(pickled.value, source.name, limits, (nbytes) => {
    passing.charge(nbytes, source.name);
    heap.charge(nbytes, source.name);
  });
  letGo(bytes);
  return metadata;
}

/**
 * Counts the data files that the metadata names before it is decoded: what it says about their items may take more than its own size allows. Where
 * the names stand is not looked at; a file that is not there is missed when its item is read.
 */
async function countDataFiles(input: FormatInput, metadata: Uint8Array): Promise<void> {
  const buffer = Buffer.from(metadata.buffer, metadata.byteOffset, metadata.length);
  const names = new Set<string>();
  for (let end = buffer.indexOf(DATA_SUFFIX); end >= 0; end = buffer.indexOf(DATA_SUFFIX, end + DATA_SUFFIX.length)) {
    const before = buffer.toString("latin1", Math.max(end - DATA_NAME_BYTES_MAX, 0), end);
    const name = /[\w-]+$/.exec(before)?.[0];
    if (name !== undefined) names.add(name + DATA_SUFFIX);
    if (names.size > input.limits.indexShards) return;
  }
  await inOrder([...names], (name) => openPart(input, name).catch(() => undefined));
}

/** Reads items as trees whose pieces point into the data files. */
class ItemReader {
  readonly sources: readonly ByteSource[];
  readonly warnings: Warning[] = [];
  readonly #input: FormatInput;
  readonly #indices: ReadonlyMap<string, number>;
  readonly #checksums = new Set<CheckpointTree["checksums"]>();

  private constructor(input: FormatInput, paths: readonly string[], sources: readonly ByteSource[]) {
    this.#input = input;
    this.#indices = new Map(paths.map((path, index) => [path, index]));
    this.sources = sources;
  }

  /** Opens every data file once. */
  static async open(input: FormatInput, { items }: DcpMetadata): Promise<ItemReader> {
    const slices = items.flatMap((item) => (item.type === "value" ? [item.slice] : item.parts.map(({ slice }) => slice)));
    const paths = [...new Set(slices.map(({ path }) => path))];
    enforceLimit(input.limits, "indexShards", paths.length, { file: input.source.name });
    const sources = await inOrder(paths, (path) => openPart(input, path));
    requireRoom(input, slices, new Map(paths.map((path, index) => [path, sources[index] as ByteSource])));
    return new ItemReader(input, paths, sources);
  }

  get checksums(): CheckpointTree["checksums"] {
    const [first, another] = this.#checksums;
    return first === undefined ? "absent" : another === undefined ? first : "partial";
  }

  async read(item: DcpItem): Promise<TreeValue> {
    if (item.type === "value") return this.#readSlice(item.name, item.slice);
    const chunks = await inOrder(item.parts, async ({ offsets, sizes, slice }): Promise<DcpChunk> => {
      const leaf = await this.#readSlice(item.name, slice);
      if (leaf instanceof TensorRef) return { offsets, sizes, leaf };
      return this.#fail(item.name, slice, "holds no tensor");
    });
    const whole = assembleChunks({ file: this.#input.source.name, name: item.name, shape: item.shape }, chunks);
    if (item.dtype !== null && item.dtype !== whole.dtype)
      throw new FormatError(
        "RANKCAST_DCP_CHUNKS",
        `${printable(this.#input.source.name)}: ${quote(item.name)} is ${item.dtype}, its chunks are ${whole.dtype}`,
        {
          details: { file: this.#input.source.name, key: item.name, expected: item.dtype, found: whole.dtype },
        },
      );
    return whole;
  }

  async #readSlice(name: string, slice: DcpSlice): Promise<TreeValue> {
    const index = this.#indices.get(slice.path) ?? 0;
    const file = this.sources[index] as ByteSource;
    if (slice.offset + slice.length > file.sizeBytes)
      throw new FormatError(
        "RANKCAST_TRUNCATED",
        `${printable(file.name)}: the item of ${quote(name)} ends at byte ${slice.offset + slice.length}, the file at ${file.sizeBytes}`,
        {
          details: { file: file.name, key: name, offset: slice.offset, length: slice.length, sizeBytes: file.sizeBytes },
        },
      );
    const part = await partInput(this.#input, sliceSource(file, slice.offset, slice.length));
    if (!(await torchZip.matches(part))) return this.#fail(name, slice, "is no torch archive");
    const tree = await torchZip.read(part);
    this.#checksums.add(tree.checksums);
    this.warnings.push(...tree.warnings);
    moveStorages(tree.root, { sources: index, bytes: slice.offset }, (nbytes) => this.#input.heap.charge(nbytes, file.name));
    return tree.root;
  }

  #fail(name: string, slice: DcpSlice, problem: string): never {
    const file = this.#input.source.name;
    throw new FormatError(
      "RANKCAST_DCP_METADATA",
      `${printable(file)}: the item of ${quote(name)} in ${quote(slice.path)} at byte ${slice.offset} ${problem}`,
      {
        details: { file, key: name, path: slice.path, offset: slice.offset },
      },
    );
  }
}

/** Items lie one behind the other. Bytes that belong to many of them would be decoded again and again. */
function requireRoom(input: FormatInput, slices: readonly DcpSlice[], sources: ReadonlyMap<string, ByteSource>): void {
  const taken = new Map<string, number>();
  for (const { path, offset, length } of slices) {
    const sizeBytes = sources.get(path)?.sizeBytes ?? 0;
    // An item that ends behind its file is refused where it is read, with its name.
    if (offset + length > sizeBytes) continue;
    const sum = (taken.get(path) ?? 0) + length;
    taken.set(path, sum);
    if (sum <= sizeBytes) continue;
    const file = input.source.name;
    throw new FormatError(
      "RANKCAST_DCP_METADATA",
      `${printable(file)}: the items in ${quote(path)} have more bytes together than it: they overlap`,
      {
        details: { file, path, offset, found: sum, sizeBytes },
      },
    );
  }
}
