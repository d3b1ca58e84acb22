/**
 * Opens the tar archives that torch 0.1 wrote: four regular members, nothing else. Not a general tar reader, and nothing is unpacked to disk
 * (torch unpacks, and follows what the archive says). Fact: `torch/serialization.py:legacy_load`.
 */
import { FormatError } from "../errors/checkpoint-error.ts";
import { printable } from "../errors/quote.ts";
import { enforceLimit } from "../limits/exceeded.ts";
import { type ByteSource, readBytes } from "../source/byte-source.ts";
import type { Container, ContainerEntry } from "./container.ts";
import type { OpenContainerOptions } from "./open-zip.ts";
import { isTarHeader, readTarHeader, TAR_BLOCK_BYTES, tarError } from "./tar-header.ts";

/** The members of an old torch checkpoint. */
export const TORCH_TAR_MEMBERS = ["sys_info", "pickle", "tensors", "storages"] as const;

/**
 * Opens the archive in `source` with one small read per member.
 * @throws {FormatError} RANKCAST_TRUNCATED when a member is missing or cut; RANKCAST_TAR_MEMBER for any other member or one twice;
 * RANKCAST_TAR_HEADER for a wrong checksum; RANKCAST_UNSAFE_PATH for links, devices and names that leave the archive.
 */
export async function openTar(source: ByteSource, { limits, signal }: OpenContainerOptions): Promise<Container> {
  const entries = new Map<string, ContainerEntry>();
  let at = 0;
  while (at + TAR_BLOCK_BYTES <= source.sizeBytes) {
    const block = await readBytes(source, at, TAR_BLOCK_BYTES, signal);
    if (block.every((byte) => byte === 0)) break;
    const entry = readMember(source, block, at);
    if (!isExpected(entry.name) || entries.has(entry.name)) {
      throw tarError("RANKCAST_TAR_MEMBER", source, entry.name, at, `expected ${TORCH_TAR_MEMBERS.join(", ")}, each once`);
    }
    entries.set(entry.name, entry);
    at = entry.offset + Math.ceil(entry.nbytes / TAR_BLOCK_BYTES) * TAR_BLOCK_BYTES;
  }
  requireAllMembers(source, entries, at);
  return {
    type: "tar",
    source,
    entries,
    warnings: [],
    heapBytes: 0,
    read: async (entry, readSignal) => {
      enforceLimit(limits, "pickleBytes", entry.nbytes, { file: source.name, record: entry.name });
      return readBytes(source, entry.offset, entry.nbytes, readSignal);
    },
  };
}

function isExpected(name: string): boolean {
  return TORCH_TAR_MEMBERS.some((each) => each === name);
}

function readMember(source: ByteSource, block: Uint8Array, at: number): ContainerEntry {
  if (!isTarHeader(block)) throw tarError("RANKCAST_TAR_HEADER", source, "", at, "the header's checksum is wrong");
  const { name, nbytes } = readTarHeader(source, block, at);
  const offset = at + TAR_BLOCK_BYTES;
  if (offset + nbytes > source.sizeBytes) {
    throw tarError("RANKCAST_TRUNCATED", source, name, at, `the member ends at byte ${offset + nbytes}, the file at ${source.sizeBytes}`);
  }
  return { name, offset, storedBytes: nbytes, nbytes, encoding: "stored", crc32: null };
}

function requireAllMembers(source: ByteSource, entries: ReadonlyMap<string, ContainerEntry>, at: number): void {
  const missing = TORCH_TAR_MEMBERS.filter((name) => !entries.has(name));
  if (missing.length === 0) return;
  throw new FormatError("RANKCAST_TRUNCATED", `${printable(source.name)}: the tar ends at byte ${at} without ${missing.join(", ")}`, {
    details: { file: source.name, offset: at, expected: missing },
  });
}
