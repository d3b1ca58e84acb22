/** Reads a fixture the way `rankcast inspect --digest` does and gives what can be compared with expected.json. */
import { createHash } from "node:crypto";
import { DEFAULT_LIMITS, Storage } from "@rankcast/core";
import {
  aliasesOf,
  bindStateDict,
  buildManifest,
  type CheckpointTree,
  openLocal,
  readCheckpoint,
  type StateDictManifest,
  TreeDict,
  transferStorages,
} from "@rankcast/core/internal";
import { FIXTURES } from "../support/fixtures.ts";

const limits = DEFAULT_LIMITS;

/** One tensor with the digest of its logical elements. */
export interface InspectedTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly sha256: string | null;
}

/** What was found in a file. */
export interface InspectedCheckpoint {
  readonly format: string;
  readonly tensors: readonly InspectedTensor[];
  readonly aliases: readonly (readonly string[])[];
  readonly manifest: StateDictManifest;
}

/** Reads the checkpoint at `path` below the fixtures, all bytes included. */
export async function inspectFixture(path: string): Promise<InspectedCheckpoint> {
  const resolvedSource = await openLocal(FIXTURES + path);
  try {
    const tree = await readCheckpoint(resolvedSource, { limits });
    return await inspectTree(tree);
  } finally {
    await resolvedSource.close();
  }
}

/** Reads all bytes of a decoded checkpoint. */
export async function inspectTree(tree: CheckpointTree): Promise<InspectedCheckpoint> {
  const manifest = buildManifest(tree, { limits });
  const storages = manifest.storages.map(({ nbytes, meta }) => (meta ? new Storage(null, 0, nbytes) : Storage.allocate(nbytes)));
  const reads = manifest.storages.map((storage, index) => ({ storage, target: storages[index] ?? new Storage(null, 0, 0) }));
  await transferStorages(reads, tree.sources, { limits, verify: true });
  const tensors = manifest.tensors.map((descriptor) => {
    // One at a time: names may repeat in a listing of a whole file.
    const tensor = [...bindStateDict({ ...manifest, tensors: [descriptor] }, storages).values()][0];
    if (!tensor) throw new Error(`no tensor for ${descriptor.name}`);
    const { name, dtype, shape } = descriptor;
    return { name, dtype, shape, sha256: tensor.isMeta ? null : digest(tensor.contiguous()) };
  });
  return { format: tree.format, tensors, aliases: aliasesOf(manifest), manifest };
}

function digest(tensor: {
  readonly storage: Storage;
  readonly storageOffset: number;
  readonly nbytes: number;
  readonly elementCount: number;
}): string {
  const begin = tensor.elementCount === 0 ? 0 : tensor.storageOffset * (tensor.nbytes / tensor.elementCount);
  return createHash("sha256").update(tensor.storage.bytes(begin, tensor.nbytes)).digest("hex");
}

/** Whether anything below the prototype of plain objects was changed by reading. */
export function prototypesAreClean(): boolean {
  return Object.keys(Object.prototype).length === 0 && Object.keys(TreeDict.prototype).length === 0;
}
