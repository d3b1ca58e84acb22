/**
 * Files of torch 0.1.0 to 0.1.9: a tar of four files. Still in use: torchvision's `resnet50-19c8e357.pth` and others are this. torch can
 * only read them by running them, and unpacks them to disk; here they are read in place.
 */
import type { ContainerEntry } from "../container/container.ts";
import { openTar } from "../container/open-tar.ts";
import { isTarHeader } from "../container/tar-header.ts";
import { requireRecord } from "../container/zip-folder.ts";
import { type CheckpointTree, TreeDict, TreeList, type TreeValue, type Warning } from "../manifest/checkpoint-tree.ts";
import { type Reading, readFromSource } from "../pickle/byte-reading.ts";
import { describe } from "../pickle/call-arguments.ts";
import { GlobalRef, type PickleCall } from "../pickle/known-global.ts";
import { pickleError } from "../pickle/pickle-site.ts";
import { decodePickle } from "../pickle/read-pickle.ts";
import type { CheckpointFormat, FormatInput } from "./checkpoint-format.ts";
import { TableCall } from "./torch-tar-call.ts";
import { readTarStorages, readTarTensors, type TarTables, tarKey } from "./torch-tar-tables.ts";

/** The tar format of torch. */
export const torchTar: CheckpointFormat = { name: "torch-tar", matches: ({ head }) => isTarHeader(head), read: readTorchTar };

async function readTorchTar(input: FormatInput): Promise<CheckpointTree> {
  const { source, limits, signal } = input;
  const container = await openTar(source, input);
  const tables: TarTables = { storages: new Map(), tensors: new Map() };
  const warnings: Warning[] = [...container.warnings];
  const run = <T>(name: string, read: (begin: number, end: number, call: TableCall) => Reading<T>): Promise<T> => {
    const entry: ContainerEntry = requireRecord(container, name);
    const call = new TableCall(limits, input.heap, { file: source.name, record: name, baseOffset: 0 }, warnings);
    return readFromSource(read(entry.offset, entry.offset + entry.nbytes, call), source, signal);
  };
  await run("sys_info", readSystem);
  await run("storages", (begin, end, call) => readTarStorages(begin, end, tables, call));
  await run("tensors", (begin, end, call) => readTarTensors(begin, end, tables, call));
  const object = await run("pickle", (begin, end, { site }) =>
    decodePickle(begin, end, {
      limits,
      where: site,
      heap: input.heap,
      persistentLoad: (id, call) => lookUp(id, tables, call),
    }),
  );
  return {
    format: "torch-tar",
    root: object.value,
    sources: [source],
    checksums: "absent",
    fileMetadata: new Map(),
    warnings: [...warnings, ...object.warnings],
  };
}

function* readSystem(begin: number, end: number, call: TableCall): Reading<void> {
  const { limits, site, heap } = call;
  const { value, warnings } = yield* decodePickle(begin, end, { limits, where: site, heap });
  for (const { code, message } of warnings) call.warn(code, message);
  if (!(value instanceof TreeDict)) throw pickleError("RANKCAST_PICKLE_TARGET", `sys_info is a dict, not ${describe(value)}`, site, begin);
}

/** A persistent id is the key of a tensor or a storage, or a tuple of a class and its source text, which is left alone. */
function lookUp(id: TreeValue, { tensors, storages }: TarTables, call: PickleCall): TreeValue {
  const [named] = id instanceof TreeList && id.type === "tuple" ? id.elements : [];
  if (named instanceof GlobalRef) return named;
  const key = tarKey(id);
  if (key === null) throw call.refuse("RANKCAST_PICKLE_PERSISTENT_ID", `a tensor is named by a number, not by ${describe(id)}`);
  const tensor = tensors.get(key);
  if (tensor !== undefined) return tensor;
  const storage = storages.get(key);
  if (storage === undefined) throw call.refuse("RANKCAST_TAR_RECORD", `tensor ${key} is not in the file`);
  return storage;
}
