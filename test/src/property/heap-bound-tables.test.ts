/**
 * Reading takes at most twice the files and 64 MiB: tables of every format with as many rows as bytes allow, and checkpoints of many small parts, each
 * of which may take little while all of them together could take much. Measured as `heap-bound.test.ts` does.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { saveTorch, Tensor } from "@rankcast/core";
import { expect } from "chai";
import { buildZip } from "../support/build-zip.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { pickleOf, torchZipFile } from "../support/torch-file.ts";
import { bytesOf, global, type Part, pickle, tensor, text, tuple, u32, u64 } from "../support/write-pickle.ts";
import { expectBounded } from "./measure-growth.ts";

const MIB = 2 ** 20;
const TABLE_BYTES = 4 * MIB;

type Files = Readonly<Record<string, Uint8Array>>;

/** `row` as often as the table has room, joined by commas; rows are named in base 36, so that they are short. */
function rows(row: (name: string, index: number) => string): string {
  const parts: string[] = [];
  for (let nbytes = 0, index = 0; nbytes < TABLE_BYTES; index += 1)
    nbytes += parts[parts.push(row(index.toString(36), index)) - 1]?.length ?? 0;
  return parts.join(",");
}

function safetensorsFile(header: string, dataBytes = 0): Uint8Array {
  const bytes = Buffer.from(header);
  return bytesOf(u64(bytes.length), bytes, new Uint8Array(dataBytes));
}

/** As many scalars as `count`, with names that are as short as names in use get. */
function scalarsFile(count: number): Uint8Array {
  const row = (_: unknown, index: number): string =>
    `"t${index}":{"dtype":"F32","shape":[],"data_offsets":[${4 * index},${4 * index + 4}]}`;
  return safetensorsFile(`{${Array.from({ length: count }, row).join(",")}}`, 4 * count);
}

const ONE = '"a":["U8",[0],[0,0]]';

function ggufFile(count: number, row: (name: Buffer) => Part[], pairs: readonly Part[] = []): Uint8Array {
  const table = Array.from({ length: count }, (_, index) => Buffer.from(index.toString(36)));
  const head = bytesOf("GGUF", u32(3), u64(pairs.length > 0 ? 1 : count), u64(pairs.length), joined(pairs));
  const bytes = bytesOf(head, joined(pairs.length > 0 ? row(Buffer.from("t")) : table.flatMap(row)));
  return bytesOf(bytes, new Uint8Array(64 - (bytes.length % 32)));
}

const ggufEmpty = (name: Buffer): Part[] => [u64(name.length), name, u32(1), u64(0), u32(0), u64(0)];

/** A pickle of so many empty dicts. */
const dicts = (count: number): Uint8Array => pickle("](", "}".repeat(count), "e");

/** Parts as one: too many to be arguments of a call. */
const joined = (parts: readonly Part[]): Uint8Array => Buffer.concat(parts.map((part) => bytesOf(part)));

/** `.metadata` of values, `slice` of the index'th one's item. */
function dcpMetadata(count: number, slice: (index: number) => readonly [offset: number, length: number]): Uint8Array {
  const module = "torch.distributed.checkpoint.metadata";
  const known: Part[] = [
    global(module, "Metadata"),
    global(module, "BytesStorageMetadata"),
    global(module, "MetadataIndex"),
    global("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    ...["fqn", "relative_path", "offset", "length", "__0_0.distcp"].map(text),
  ].flatMap((part, slot) => [part, "q", slot, "0"]);
  const names = Array.from({ length: count }, (_, index) => text(index.toString(36)));
  const items = names.flatMap((name, index) => {
    const [offset, length] = slice(index);
    const info = bytesOf("h\x03)\x81}(h\x05h\x08h\x06J", u32(offset), "h\x07J", u32(length), "ub");
    return [bytesOf("h\x02)\x81}(h\x04"), name, "ub", info];
  });
  const described = bytesOf("}(", joined(names.flatMap((name) => [name, "h\x01)\x81"])), "u");
  const fields = bytesOf("}(", text("state_dict_metadata"), described, text("storage_data"), "}(", joined(items), "uu");
  return pickle(...known, "h\x00)\x81", fields, "b");
}

const item = torchZipFile({ pickle: pickle("]"), storages: {} });
const heavyItem = torchZipFile({ pickle: dicts(60_000), storages: {} });
const nested = bytesOf("\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", pickle("}"), dicts(60_000), pickle("]"));

const CHECKPOINTS: ReadonlyMap<string, () => Files> = new Map<string, () => Files>([
  ["safetensors, shortest rows", () => ({ "m.safetensors": safetensorsFile(`{${rows((name) => `"${name}":["U8",[0],[0,0]]`)}}`) })],
  [
    "safetensors, tensors of one number",
    () => {
      let end = 0;
      const row = (name: string): string => {
        end += 4;
        return `"model.${name}":{"dtype":"F32","shape":[],"data_offsets":[${end - 4},${end}]}`;
      };
      const table = rows(row);
      return { "m.safetensors": safetensorsFile(`{${table}}`, end) };
    },
  ],
  [
    "safetensors, long shapes",
    () => ({ "m.safetensors": safetensorsFile(`{${rows((name) => `"${name}":["U8",[${"0,".repeat(60)}0],[0,0]]`)}}`) }),
  ],
  [
    "safetensors, shapes that are all different",
    () => ({ "m.safetensors": safetensorsFile(`{${rows((name, index) => `"${name}":["U8",[0,${index}],[0,0]]`)}}`) }),
  ],
  ["safetensors, a header of blanks", () => ({ "m.safetensors": safetensorsFile(`{${ONE}}`.padEnd(64 * MIB)) })],
  [
    "safetensors, as many tensors as blanks leave room for",
    () => ({ "m.safetensors": safetensorsFile(`{${rows((name) => `"${name}":["U8",[0],[0,0]]`)}}`.padEnd(16 * MIB)) }),
  ],
  ["safetensors, wide names", () => ({ "m.safetensors": safetensorsFile(`{${rows((name) => `"${name}\u4e00":["U8",[0],[0,0]]`)}}`) })],
  ["safetensors, metadata", () => ({ "m.safetensors": safetensorsFile(`{"__metadata__":{${rows((name) => `"${name}":"ab"`)}},${ONE}}`) })],
  [
    "distributed safetensors, places of chunks",
    () => {
      const places = JSON.stringify(`{${rows((name) => `"${name}":{"saved_offsets":[0]}`)}}`);
      const header = `{"__metadata__":{"DCP_SHARDING_INFO":${places},"DCP_VERSION":"1.0"},${ONE}}`;
      return { "shard-00001-model-00001-of-00001.safetensors": safetensorsFile(header) };
    },
  ],
  ["gguf, tensors", () => ({ "m.gguf": ggufFile(Math.floor(TABLE_BYTES / 34), ggufEmpty) })],
  [
    "gguf, metadata",
    () => {
      const pairs = Array.from({ length: 99_000 }, (_, index) => {
        const key = Buffer.from(index.toString(36));
        return bytesOf(u64(key.length), key, u32(8), u64(1), "x");
      });
      return { "m.gguf": ggufFile(1, ggufEmpty, pairs) };
    },
  ],
  [
    "tfjs, weights",
    () => ({
      "model.json": Buffer.from(
        `{"weightsManifest":[{"paths":[],"weights":[${rows((name) => `{"name":"${name}","shape":[0],"dtype":"bool"}`)}]}]}`,
      ),
    }),
  ],
  ["tfjs, groups", () => ({ "model.json": Buffer.from(`{"weightsManifest":[${rows(() => `{"paths":[],"weights":[]}`)}]}`) })],
  [
    "index, names",
    () => ({
      "m.safetensors.index.json": Buffer.from(`{"weight_map":{${rows((name) => `"${name}":"a"`)}}}`),
      a: safetensorsFile("{}"),
    }),
  ],
  [
    "index, metadata",
    () => ({
      "m.safetensors.index.json": Buffer.from(`{"metadata":{${rows((name) => `"${name}":"a"`)}},"weight_map":{"a":"a"}}`),
      a: safetensorsFile(`{${ONE}}`),
    }),
  ],
  [
    "index, other names",
    () => ({
      "m.safetensors.index.json": Buffer.from(`{${rows((name) => `"${name}":0`)},"weight_map":{"a":"a"}}`),
      a: safetensorsFile(`{${ONE}}`),
    }),
  ],
  [
    "index, many shards that take much each",
    () => {
      const names = Array.from({ length: 40 }, (_, index) => `s${index}`);
      const shard = torchZipFile({ pickle: dicts(100_000), storages: {} });
      const map = JSON.stringify(Object.fromEntries(names.map((name) => [name, name])));
      return { "m.bin.index.json": Buffer.from(`{"weight_map":${map}}`), ...Object.fromEntries(names.map((name) => [name, shard])) };
    },
  ],
  ["torch zip, records that nothing names", () => ({ "m.pt": torchZipFile({ pickle: pickle("]"), storages: emptyStorages(30_000) }) })],
  [
    "torch zip, empty tensors",
    () => {
      const storages = emptyStorages(20_000);
      const one = (key: string): Uint8Array => tensor({ key: text(key), numel: "K\x00", size: tuple("K\x00"), stride: tuple("K\x01") });
      return { "m.pt": torchZipFile({ pickle: pickle("](", ...Object.keys(storages).map(one), "e"), storages }) };
    },
  ],
  ["torch zip, one storage of many tensors", () => ({ "m.pt": torchZipFile({ pickle: pickle("](", manyTensors(40_000), "e") }) })],
  [
    "plain pickle, the same stream nested again and again",
    () => {
      const stream = bytesOf("ctorch.storage\n_load_from_bytes\nq\x000B", u32(nested.length), nested, "\x85q\x010");
      return { "m.pkl": pickle(stream, "](", "h\x00h\x01R".repeat(400), "e") };
    },
  ],
  [
    "npz, small arrays",
    () => {
      const header = Buffer.from("{'descr': '|u1', 'fortran_order': False, 'shape': (0,), }\n");
      const array = bytesOf("\x93NUMPY\x01\x00", header.length & 255, header.length >> 8, header);
      const records = Array.from({ length: 20_000 }, (_, index) => ({ name: `${index.toString(36)}.npy`, bytes: array, alignment: 1 }));
      return { "m.npz": buildZip(records) };
    },
  ],
  [
    "dcp, short descriptions",
    () => ({ ".metadata": dcpMetadata(Math.floor(TABLE_BYTES / 60), () => [0, item.length]), "__0_0.distcp": item }),
  ],
  [
    "dcp, many items that take much each",
    () => ({
      ".metadata": dcpMetadata(60, (index) => [index * heavyItem.length, heavyItem.length]),
      "__0_0.distcp": Buffer.concat(Array.from({ length: 60 }, () => heavyItem)),
    }),
  ],
]);

function emptyStorages(count: number): Record<string, Uint8Array> {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [String(index), new Uint8Array(0)]));
}

function manyTensors(count: number): Uint8Array {
  const whole = pickleOf(tensor());
  // What `pickleOf` puts around a value: protocol and the dict, then the end of both.
  const start = Buffer.from(whole).indexOf("ctorch._utils");
  const one = whole.subarray(start, whole.length - 2);
  return Buffer.concat(Array.from({ length: count }, () => one));
}

describe("memory of reading tables and parts", () => {
  const directory = temporaryDirectory();

  for (const [what, make] of CHECKPOINTS) {
    it(what, async () => {
      const files = make();
      const folder = join(directory(), "checkpoint");
      for (const [name, bytes] of Object.entries(files)) {
        await mkdir(dirname(join(folder, name)), { recursive: true });
        await writeFile(join(folder, name), bytes);
      }
      const names = Object.keys(files);
      const ended = await expectBounded(names.length === 1 ? join(folder, String(names[0])) : folder);
      // Anything else would mean that the file was refused for a mistake of this test.
      expect(ended, what).to.match(/^(read \d+|limit)$/);
    }).timeout(120_000);
  }

  it("100 000 scalars of a safetensors file are read", async () => {
    const path = join(directory(), "scalars.safetensors");
    await writeFile(path, scalarsFile(100_000));
    expect(await expectBounded(path)).to.equal("read 100000");
  }).timeout(120_000);

  for (const [what, shape] of [
    ["scalars", []],
    ["tensors of 64 bytes", [16]],
  ] as const) {
    it(`100 000 ${what} of a torch file are read`, async () => {
      const path = join(directory(), "tiny.pt");
      const tiny = (index: number): Tensor => Tensor.from(new Float32Array(shape[0] ?? 1).fill(index), [...shape]);
      const named = Array.from({ length: 100_000 }, (_, index): [string, Tensor] => [`layers.${index}.w`, tiny(index)]);
      await saveTorch(path, new Map(named));
      expect(await expectBounded(path)).to.equal("read 100000");
    }).timeout(120_000);
  }

  it("items of a distributed checkpoint may not share bytes", async () => {
    const folder = join(directory(), "checkpoint");
    await mkdir(folder, { recursive: true });
    await writeFile(
      join(folder, ".metadata"),
      dcpMetadata(3, () => [0, item.length]),
    );
    await writeFile(join(folder, "__0_0.distcp"), item);
    expect(await expectBounded(folder)).to.equal("index");
  }).timeout(120_000);
});
