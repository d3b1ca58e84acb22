/** Saving a state dict as `torch.save` does. */
import { createHash } from "node:crypto";
import { basename, extname } from "node:path";
import type { StateDict } from "../tensor/state-dict.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { FileSink } from "./file-sink.ts";
import { requireSaveArguments } from "./require-save-arguments.ts";
import type { SaveOptions, SaveReport } from "./save-options.ts";
import { storageChunks } from "./tensor-chunks.ts";
import { planTorch, type TorchPlan } from "./torch-pickle.ts";
import { writeAtomically } from "./write-atomically.ts";
import { STORAGE_ALIGNMENT, ZipWriter } from "./zip-writer.ts";

/** torch reads archive versions 1 to 10 and writes 3. */
const ARCHIVE_VERSION = "3\n";
const FORMAT_VERSION = "1";

/**
 * Writes `stateDict` to `path`, whole or not at all, as a zip that `torch.load(path, weights_only=True)` reads: storages once each with their
 * aliases, strides and offsets, module versions in `_metadata`, values of `extraState` under their names, shared and cyclic ones as they are.
 * Objects that were kept opaque are refused: a file that holds them is a file whose reader runs them. Storages go out as they are, whole, in
 * pieces, so memory does not grow with the checkpoint.
 *
 * @example
 * await saveTorch("model.pt", checkpoint.stateDict);
 * @throws {SourceError} RANKCAST_SAVE_REFUSED, RANKCAST_SAVE_DISK_FULL; {CheckpointError} RANKCAST_SAVE_DTYPE, RANKCAST_SAVE_VALUE;
 *   {UsageError} RANKCAST_SAVE_NAME; the signal's reason.
 */
export async function saveTorch(
  path: string,
  stateDict: ReadonlyMap<string, Tensor> | StateDict,
  options: SaveOptions = {},
): Promise<SaveReport> {
  requireSaveArguments(path, stateDict, options);
  const plan = planTorch(stateDict);
  const bytes = await writeAtomically(path, (sink) => writeArchive(sink, folderName(path), plan, options), options);
  return { bytes, aliases: [], untied: [], omitted: [] };
}

async function writeArchive(sink: FileSink, folder: string, plan: TorchPlan, options: SaveOptions): Promise<number> {
  const zip = new ZipWriter(sink, folder);
  const totalBytes = plan.storages.reduce((sum, { nbytes }) => sum + nbytes, 0);
  let doneBytes = 0;
  // This order is torch's: its reader may compute where data/1 begins from where data/0 ends.
  await zip.addBytes("data.pkl", plan.pickle);
  await zip.addBytes(".format_version", Buffer.from(FORMAT_VERSION));
  await zip.addBytes(".storage_alignment", Buffer.from(String(STORAGE_ALIGNMENT)));
  await zip.addBytes("byteorder", Buffer.from("little"));
  for (const [index, storage] of plan.storages.entries()) {
    await zip.add(`data/${index}`, storage.nbytes, storageChunks(storage));
    doneBytes += storage.nbytes;
    options.onProgress?.({ phase: "save", doneBytes, totalBytes });
  }
  await zip.addBytes("version", Buffer.from(ARCHIVE_VERSION));
  await zip.addBytes(".data/serialization_id", Buffer.from(serializationId(zip.checksums)));
  await zip.finish();
  return sink.position;
}

/** 40 digits that differ when the content does; torch hashes names and checksums, and nobody checks how. */
function serializationId(checksums: readonly number[]): string {
  const digest = createHash("sha256").update(Uint32Array.from(checksums)).digest("hex");
  return BigInt(`0x${digest}`).toString().padStart(40, "0").slice(-40);
}

/** torch names the folder after the file without its last extension; what could mislead a reader becomes torch's name for nameless files. */
function folderName(path: string): string {
  const name = basename(path, extname(path));
  return name === "" || name === "." || name === ".." || /[\u0000-\u001f\u007f\\/]/.test(name) || /\p{Surrogate}/u.test(name)
    ? "archive"
    : name;
}
