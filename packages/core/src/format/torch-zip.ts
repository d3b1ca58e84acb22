/**
 * Files of `torch.save` since 1.6, and TorchScript archives: a zip with one pickle (`data.pkl`) and one record per storage. Facts: torch
 * `caffe2/serialize/inline_container.cc`, `serialization.py`.
 */
import type { Container, ContainerEntry } from "../container/container.ts";
import { openZip } from "../container/open-zip.ts";
import { folderOf, requireRecord } from "../container/zip-folder.ts";
import { FormatError } from "../errors/checkpoint-error.ts";
import type { ErrorCode } from "../errors/error-codes.ts";
import { printable, quote } from "../errors/quote.ts";
import type { CheckpointTree, Warning } from "../manifest/checkpoint-tree.ts";
import { readPickle } from "../pickle/read-pickle.ts";
import type { CheckpointFormat, FormatInput } from "./checkpoint-format.ts";
import { nestedStreams } from "./torch-legacy-stream.ts";
import { isLegacyZip, readLegacyZip } from "./torch-legacy-zip.ts";
import { ZipStorages } from "./torch-zip-storages.ts";
import { keepDeclaredTensors } from "./torchscript.ts";

const VERSION_MIN = 1;
const VERSION_MAX = 10;
/** `version` and `byteorder` hold one word. */
const WORD_BYTES_MAX = 32;

/** The zip format of torch. */
export const torchZip: CheckpointFormat = {
  name: "torch-zip",
  matches: ({ head }) => head[0] === 0x50 && head[1] === 0x4b && head[2] === 0x03 && head[3] === 0x04,
  read: readTorchZip,
};

async function readTorchZip(input: FormatInput): Promise<CheckpointTree> {
  const { source, signal } = input;
  const container = await openZip(source, input);
  if (isLegacyZip(container)) return readLegacyZip(input, container);
  const folder = folderOf(container);
  const pickled = requireRecord(container, `${folder}/data.pkl`);
  await checkVersion(container, folder, signal);
  const storages = new ZipStorages(container, folder, await isBigEndian(container, folder, signal));
  const bytes = await container.read(pickled, signal);
  const result = readPickle(bytes, {
    limits: input.limits,
    where: placeOf(container, pickled),
    fileBytes: source.sizeBytes,
    persistentLoad: (id, call) => storages.load(id, call),
    readNested: nestedStreams({ limits: input.limits, file: source.name, fileBytes: source.sizeBytes, depth: input.nesting }),
  });
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

/** Offsets inside a compressed record are no offsets of the file. */
function placeOf(container: Container, entry: ContainerEntry): { file: string; record: string; baseOffset: number } {
  return { file: container.source.name, record: entry.name, baseOffset: entry.encoding === "stored" ? entry.offset : 0 };
}

function leftOver(trailingBytes: number, unusedRecords: number): Warning[] {
  const warnings: Warning[] = [];
  if (trailingBytes > 0) {
    warnings.push({ code: "pickle-trailing-bytes", message: `${trailingBytes} bytes behind the end of data.pkl's pickle were ignored` });
  }
  if (unusedRecords > 0) {
    warnings.push({ code: "unused-storages", message: `${unusedRecords} storages of the archive belong to no tensor` });
  }
  return warnings;
}

/** torch reads versions 1 to 10 and refuses files without one. */
async function checkVersion(container: Container, folder: string, signal: AbortSignal | undefined): Promise<void> {
  const text = await readWord(container, `${folder}/version`, signal);
  const version = /^\s*\d{1,9}\s*$/.test(text ?? "") ? Number(text) : Number.NaN;
  if (version >= VERSION_MIN && version <= VERSION_MAX) return;
  const found = text === null ? "no version" : `version ${quote(text)}`;
  throw fail(
    "RANKCAST_TORCH_VERSION",
    container,
    `${folder}/version`,
    `the archive has ${found}, expected ${VERSION_MIN} to ${VERSION_MAX}`,
  );
}

/** Files without the record are older than it, and little-endian. */
async function isBigEndian(container: Container, folder: string, signal: AbortSignal | undefined): Promise<boolean> {
  const text = await readWord(container, `${folder}/byteorder`, signal);
  if (text === null || text === "little") return false;
  if (text === "big") return true;
  throw fail("RANKCAST_TORCH_BYTE_ORDER", container, `${folder}/byteorder`, `expected "little" or "big", found ${quote(text)}`);
}

async function readWord(container: Container, name: string, signal: AbortSignal | undefined): Promise<string | null> {
  const entry = container.entries.get(name);
  if (entry === undefined) return null;
  if (entry.nbytes > WORD_BYTES_MAX) return `(${entry.nbytes} bytes)`;
  return Buffer.from(await container.read(entry, signal)).toString("latin1");
}

function fail(code: ErrorCode, container: Container, record: string, text: string): FormatError {
  const { name } = container.source;
  const offset = container.entries.get(record)?.offset ?? 0;
  return new FormatError(code, `${printable(name)}, record ${printable(record)}: ${text}`, { details: { file: name, record, offset } });
}
