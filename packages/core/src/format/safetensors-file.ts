/** One safetensors file, validated: where each tensor lies. */
import { FormatError } from "../errors/checkpoint-error.ts";
import { enforceLimit } from "../limits/exceeded.ts";
import { DEFAULT_LIMITS } from "../limits/limits.ts";
import { OpaqueValue, type StoragePiece, StorageRef, TensorRef, TreeList } from "../manifest/checkpoint-tree.ts";
import type { StorageTraits } from "../manifest/storage-ref.ts";
import { type ByteSource, readBytes } from "../source/byte-source.ts";
import { letGo } from "../source/let-go.ts";
import type { FormatInput } from "./checkpoint-format.ts";
import { failSafetensors } from "./safetensors-fault.ts";
import { parseSafetensorsHeader, type SafetensorsHeader } from "./safetensors-header.ts";
import { validateSafetensorsLayout } from "./safetensors-layout.ts";
import type { SafetensorsEntry } from "./safetensors-table.ts";
import { arrayBytes, RUN_BYTES } from "./table-costs.ts";

const LENGTH_BYTES = 8;
const NO_PIECES: readonly StoragePiece[] = [];
/** A validated header together with where the data starts. */
export interface SafetensorsFile extends SafetensorsHeader {
  /** First byte of tensor data in the file. */
  readonly dataBegin: number;
}

/**
 * Reads and validates the header: when this returns, every entry's offsets are safe integers inside the file, and together they cover it.
 * @throws {FormatError} RANKCAST_SAFETENSORS_HEADER with the reference's variant, RANKCAST_SAFETENSORS_TRUNCATED, RANKCAST_LIMIT.
 */
export async function openSafetensors(
  input: Pick<FormatInput, "source" | "head" | "limits" | "heap" | "signal">,
): Promise<SafetensorsFile> {
  const { source, head, limits, heap, signal } = input;
  const file = source.name;
  const length = headerLength(head);
  if (length === undefined)
    failSafetensors({ file, variant: "HeaderTooSmall", problem: `${source.sizeBytes} bytes are too few for a header`, offset: 0 });
  // What the format itself forbids is a fault of the header; what only a lowered limit forbids is a limit's.
  if (length <= DEFAULT_LIMITS.safetensorsHeaderBytes) enforceLimit(limits, "safetensorsHeaderBytes", length, { file, offset: 0 });
  if (length > limits.safetensorsHeaderBytes)
    failSafetensors({
      file,
      variant: "HeaderTooLarge",
      problem: `a header of ${length} bytes is above the limit safetensorsHeaderBytes = ${limits.safetensorsHeaderBytes}`,
      offset: 0,
    });
  const dataBegin = LENGTH_BYTES + length;
  if (dataBegin > source.sizeBytes)
    failSafetensors({
      file,
      variant: "InvalidHeaderLength",
      problem: `a header of ${length} bytes in a file of ${source.sizeBytes}`,
      offset: 0,
      remedy: "Download or copy the file again: it was cut short, or it is no safetensors file.",
    });
  heap.charge(length, file);
  const bytes = dataBegin <= head.length ? head.subarray(LENGTH_BYTES, dataBegin) : await readBytes(source, LENGTH_BYTES, length, signal);
  const header = parseSafetensorsHeader(bytes, { file, limits, heap });
  // It is counted among what there was at a time.
  letGo(bytes);
  heap.release(length);
  requireCovered(source, dataBegin, validateSafetensorsLayout(header.table, file));
  return { ...header, dataBegin };
}

/** One tensor of a validated file as a leaf of the tree, charged as heap; `traits`: those of runs of the file. */
export function safetensorsLeaf(
  file: SafetensorsFile,
  entry: SafetensorsEntry,
  traits: StorageTraits,
  charge: (nbytes: number) => void,
): TensorRef | OpaqueValue {
  const shape = torchShape(entry);
  const nbytes = Number(entry.end) - Number(entry.begin);
  charge(RUN_BYTES + (shape === entry.shape ? 0 : arrayBytes(entry.shape.length)));
  if (shape === undefined) return new OpaqueValue(`safetensors.${entry.dtype.name}`, [new TreeList("Size", [...entry.shape])]);
  const storage = new StorageRef(
    { nbytes, pieces: nbytes === 0 ? NO_PIECES : file.dataBegin + Number(entry.begin), key: entry.name },
    traits,
  );
  const stride = file.slots.stridesOf(shape);
  if (file.slots.made) charge(arrayBytes(shape.length));
  return new TensorRef({ dtype: entry.dtype.dtype, shape, stride, storageOffset: 0, storage });
}

/** The header's shape in torch's counting, undefined where torch has no shape for it (pairs of 4-bit values that cross a row). */
function torchShape(entry: SafetensorsEntry): readonly number[] | undefined {
  const shape = entry.shape as readonly number[];
  if (entry.dtype.packed === 1) return shape;
  const last = shape.at(-1);
  return last === undefined || last % entry.dtype.packed !== 0 ? undefined : [...shape.slice(0, -1), last / entry.dtype.packed];
}

function requireCovered(source: ByteSource, dataBegin: number, dataBytes: number | bigint): void {
  const found = source.sizeBytes - dataBegin;
  if (dataBytes === found) return;
  const file = source.name;
  if (dataBytes < found)
    failSafetensors({
      file,
      variant: "MetadataIncompleteBuffer",
      problem: `${BigInt(found) - BigInt(dataBytes)} bytes follow the last tensor`,
      offset: dataBegin + Number(dataBytes),
    });
  throw new FormatError(
    "RANKCAST_SAFETENSORS_TRUNCATED",
    `${file}: the header promises ${dataBytes} bytes of tensors, the file ends after ${found}, at byte ${source.sizeBytes}`,
    {
      details: {
        file,
        variant: "MetadataIncompleteBuffer",
        offset: source.sizeBytes,
        expected: String(dataBytes),
        found,
      },
    },
  );
}

/** The length in front of the header, rounded to a double; undefined when the file is shorter than that field. */
export function headerLength(head: Uint8Array): number | undefined {
  if (head.length < LENGTH_BYTES) return undefined;
  return Number(new DataView(head.buffer, head.byteOffset, LENGTH_BYTES).getBigUint64(0, true));
}
