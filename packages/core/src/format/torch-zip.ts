/**
 * Files of `torch.save` since 1.6, and TorchScript archives: a zip with one pickle (`data.pkl`) and one record per storage. Facts: torch
 * `caffe2/serialize/inline_container.cc`, `serialization.py`.
 */
import type { Container, ContainerEntry } from "../container/container.ts";
import { openZip } from "../container/open-zip.ts";
import { folderOf, requireRecord } from "../container/zip-folder.ts";
import { FormatError } from "../errors/checkpoint-error.ts";
import { printable } from "../errors/quote.ts";
import type { CheckpointTree } from "../manifest/checkpoint-tree.ts";
import { readPickle } from "../pickle/read-pickle.ts";
import type { CheckpointFormat, FormatInput } from "./checkpoint-format.ts";
import { nestedStreams } from "./torch-legacy-stream.ts";
import { isLegacyZip, readLegacyZip } from "./torch-legacy-zip.ts";
import { readArrivingZip } from "./torch-zip-arriving.ts";
import { checkVersion, isBigEndian, leftOver } from "./torch-zip-records.ts";
import { ZipStorages } from "./torch-zip-storages.ts";
import { keepDeclaredTensors } from "./torchscript.ts";

/** The zip format of torch. */
export const torchZip: CheckpointFormat = {
  name: "torch-zip",
  matches: ({ head }) => head[0] === 0x50 && head[1] === 0x4b && head[2] === 0x03 && head[3] === 0x04,
  read: readTorchZip,
};

async function readTorchZip(input: FormatInput): Promise<CheckpointTree> {
  return (await readArrivingZip(input)) ?? readCompleteZip(input);
}

async function readCompleteZip(input: FormatInput): Promise<CheckpointTree> {
  const { source, signal } = input;
  const container = await openZip(source, input);
  if (isLegacyZip(container)) return readLegacyZip(input, container);
  const folder = folderOf(container);
  if (container.entries.has(`${folder}/archive_format`)) throw exportedProgram(source.name);
  const pickled = requireRecord(container, `${folder}/data.pkl`);
  await checkVersion(container, folder, signal);
  const storages = new ZipStorages(container, folder, await isBigEndian(container, folder, signal));
  const { heap } = input;
  const inMemoryBytes = pickled.nbytes + (pickled.encoding === "stored" ? 0 : pickled.storedBytes);
  heap.charge(inMemoryBytes, source.name);
  const bytes = await container.read(pickled, signal);
  const result = readPickle(bytes, {
    limits: input.limits,
    where: placeOf(container, pickled),
    heap,
    persistentLoad: (id, call) => storages.load(id, call),
    findStorage: (key, wanted, call) => storages.find(key, wanted, call),
    readNested: nestedStreams({ limits: input.limits, file: source.name, heap, depth: input.nesting }),
  });
  heap.release(inMemoryBytes + container.heapBytes);
  heap.charge(storages.entriesBytes, source.name);
  const scripted = container.entries.has(`${folder}/constants.pkl`);
  const scriptWarnings = scripted ? await keepDeclaredTensors(result.value, container, folder, input) : [];
  const trailingBytes = bytes.length - result.endOffset;
  return {
    format: "torch-zip",
    root: result.value,
    sources: [source],
    checksums: storages.checksums,
    fileMetadata: new Map(),
    warnings: [...container.warnings, ...result.warnings, ...scriptWarnings, ...leftOver(trailingBytes, storages.unused)],
  };
}

/** What `torch.export.save` writes (`torch/export/pt2_archive`): a program, and weights described in its own way. */
function exportedProgram(file: string): FormatError {
  return new FormatError("RANKCAST_UNSUPPORTED", `${printable(file)}: a program of torch.export (pt2), not a checkpoint`, {
    details: { file, feature: "programs of torch.export" },
    remedy: "Save the program's weights by themselves: torch.save(torch.export.load(path).state_dict, ...).",
  });
}

/** Offsets inside a compressed record are no offsets of the file. */
function placeOf(container: Container, entry: ContainerEntry): { file: string; record: string; baseOffset: number } {
  return { file: container.source.name, record: entry.name, baseOffset: entry.encoding === "stored" ? entry.offset : 0 };
}
