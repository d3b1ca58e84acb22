/**
 * Zips with one file in them that is a checkpoint of torch before 1.6. `torch.hub` unpacks such downloads to disk; here the one record is
 * read in memory, which also checks its checksum. Fact source: torch `hub.py`, `_is_legacy_zip_format`.
 */
import type { Container, ContainerEntry } from "../container/container.ts";
import type { CheckpointTree } from "../manifest/checkpoint-tree.ts";
import { memorySource } from "../source/memory-source.ts";
import type { FormatInput } from "./checkpoint-format.ts";
import { plainPickle } from "./plain-pickle.ts";
import { HEAD_BYTES, readFirstMatch } from "./read-first-match.ts";
import { torchLegacy } from "./torch-legacy.ts";
import { torchTar } from "./torch-tar.ts";

const INNER_FORMATS = [torchLegacy, torchTar, plainPickle];

/** Whether the archive holds one file only, and not one that is a torch archive's own. */
export function isLegacyZip(container: Container): boolean {
  const only = onlyFile(container);
  return only !== null && !only.name.endsWith("/data.pkl");
}

function onlyFile({ entries }: Container): ContainerEntry | null {
  let only: ContainerEntry | null = null;
  for (const entry of entries.values()) {
    if (entry.name.endsWith("/")) continue;
    if (only !== null) return null;
    only = entry;
  }
  return only;
}

/**
 * The checkpoint in the archive's one file.
 * @throws {FormatError} RANKCAST_UNKNOWN_FORMAT when it is none, RANKCAST_LIMIT above `pickleBytes`; and as the inner format.
 */
export async function readLegacyZip(input: FormatInput, container: Container): Promise<CheckpointTree> {
  const entry = onlyFile(container);
  const bytes = entry === null ? new Uint8Array(0) : await container.read(entry, input.signal);
  const source = memorySource(bytes, `${input.source.name}:${entry?.name ?? ""}`);
  const tree = await readFirstMatch({ ...input, source, head: bytes.subarray(0, HEAD_BYTES) }, INNER_FORMATS);
  return { ...tree, warnings: [...container.warnings, ...tree.warnings] };
}
