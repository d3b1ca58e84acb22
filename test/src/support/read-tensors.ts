/** Everything a decoded checkpoint holds, bytes read: what `expected.json` describes. */
import { compileLimits, digestTensor, Storage } from "@rankcast/core";
import {
  aliasesOf,
  type ByteSource,
  buildManifest,
  type CheckpointFormat,
  type CheckpointTree,
  HeapBudget,
  memorySource,
  noSiblings,
  readFirstMatch,
  readHead,
  type StateDictManifest,
  transferStorages,
} from "@rankcast/core/internal";

const LIMITS = compileLimits();

/** A checkpoint as `expected.json` describes one. */
export interface ReadTensors {
  readonly format: string;
  readonly tree: CheckpointTree;
  readonly manifest: StateDictManifest;
  readonly tensors: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly shape: readonly number[];
    readonly sha256: string | null;
  }[];
  readonly aliases: readonly (readonly string[])[];
}

/** Decodes `source` with the first of `formats` that recognises it. */
export async function readTree(source: ByteSource, formats: readonly CheckpointFormat[]): Promise<CheckpointTree> {
  const head = await readHead(source);
  const heap = new HeapBudget(LIMITS, source.sizeBytes);
  return readFirstMatch({ source, head, siblings: noSiblings(source.name), limits: LIMITS, heap, signal: undefined, nesting: 0 }, formats);
}

/** Decodes bytes, reads every storage through the transfer stage, and takes the digest of every tensor. */
export async function readTensors(bytes: Uint8Array, formats: readonly CheckpointFormat[], name = "fixture"): Promise<ReadTensors> {
  const tree = await readTree(memorySource(bytes, name), formats);
  const manifest = buildManifest(tree, { limits: LIMITS });
  const targets = manifest.storages.map(({ nbytes, meta }) => (meta ? new Storage(null, 0, nbytes) : Storage.allocate(nbytes)));
  const reads = manifest.storages.flatMap((storage, index) => {
    const target = targets[index];
    return target && !storage.meta ? [{ storage, target }] : [];
  });
  await transferStorages(reads, tree.sources, { limits: LIMITS, verify: true });
  const tensors = manifest.tensors.map((each) => {
    const storage = targets[each.storage] as Storage;
    const view = { ...each, conj: each.conj ?? false, neg: each.neg ?? false, storage };
    return { name: each.name, dtype: each.dtype, shape: each.shape, sha256: storage.buffer === null ? null : digestTensor(view) };
  });
  return { format: tree.format, tree, manifest, tensors, aliases: aliasesOf(manifest) };
}
