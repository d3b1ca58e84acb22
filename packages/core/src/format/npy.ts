/** A single numpy array (`numpy.save`). The array is the root of the checkpoint. */
import { FormatError } from "../errors/checkpoint-error.ts";
import { type CheckpointTree, StorageRef, TensorRef, type Warning } from "../manifest/checkpoint-tree.ts";
import { readBytes } from "../source/byte-source.ts";
import type { CheckpointFormat, FormatInput } from "./checkpoint-format.ts";
import { npyArray } from "./npy-array.ts";
import { npyHeaderBytes, parseNpyHeader, startsLikeNpy } from "./npy-header.ts";

/** The npy format. */
export const npy: CheckpointFormat = {
  name: "npy",
  matches: ({ head }) => startsLikeNpy(head),
  read: readNpy,
};

async function readNpy({ source, head, limits, signal }: FormatInput): Promise<CheckpointTree> {
  const place = { file: source.name };
  const headerBytes = npyHeaderBytes(head, place, limits);
  if (headerBytes > source.sizeBytes) fail(source.name, `a header up to byte ${headerBytes}`, source.sizeBytes);
  const bytes = headerBytes <= head.length ? head.subarray(0, headerBytes) : await readBytes(source, 0, headerBytes, signal);
  const array = npyArray(parseNpyHeader(bytes, place), place, limits);
  const end = headerBytes + array.nbytes;
  if (end > source.sizeBytes) fail(source.name, `elements of shape (${array.shape}) up to byte ${end}`, source.sizeBytes);
  const extent = { type: "range", source: 0, offset: headerBytes, storedBytes: array.nbytes, encoding: "stored", crc32: null } as const;
  const storage = new StorageRef({
    nbytes: array.nbytes,
    pieces: array.nbytes === 0 ? [] : [{ at: 0, nbytes: array.nbytes, extent }],
    swapBytes: array.swapBytes,
  });
  const { dtype, shape, stride } = array;
  return {
    format: "npz",
    root: new TensorRef({ dtype, shape, stride, storageOffset: 0, storage, origin: "numpy" }),
    sources: [source],
    checksums: "absent",
    fileMetadata: new Map(),
    warnings: trailingWarnings(source.sizeBytes - end),
  };
}

/** numpy reads one array and leaves the rest of the file alone. */
function trailingWarnings(trailingBytes: number): Warning[] {
  if (trailingBytes === 0) return [];
  return [{ code: "trailing-bytes", message: `${trailingBytes} bytes behind the numpy array were ignored` }];
}

function fail(file: string, what: string, sizeBytes: number): never {
  throw new FormatError("RANKCAST_TRUNCATED", `${file}: expected ${what}, the file ends at byte ${sizeBytes}`, {
    details: { file, offset: sizeBytes },
  });
}
