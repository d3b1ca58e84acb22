/** Small files of `torch.save`, built by hand. */
import { memorySource, npz, plainPickle, safetensors, type TreeValue, torchLegacy, torchTar, torchZip } from "@rankcast/core/internal";
import { buildZip, type ZipRecord } from "./build-zip.ts";
import { type ReadTensors, readTensors, readTree } from "./read-tensors.ts";
import { bytesOf, dict, type Part, pickle, tensor, text, u64 } from "./write-pickle.ts";

/** Formats in the order in which they are asked. */
export const TORCH_FORMATS = [safetensors, npz, torchZip, torchLegacy, torchTar, plainPickle];

/** 12 floats: 0 to 11. */
export const TWELVE = new Uint8Array(Float32Array.from({ length: 12 }, (_, at) => at).buffer);

/** What a zip file of torch is made of. */
export interface TorchZipParts {
  readonly pickle: Uint8Array;
  readonly storages?: Readonly<Record<string, Uint8Array>>;
  readonly byteorder?: string | null;
  readonly version?: string | null;
  readonly folder?: string;
  readonly extra?: readonly ZipRecord[];
}

/** A zip with `data.pkl`, one record per storage, and what belongs to it. */
export function torchZipFile({
  pickle: data,
  storages = { 0: TWELVE },
  byteorder = "little",
  version = "3\n",
  folder = "archive",
  extra = [],
}: TorchZipParts): Uint8Array {
  const record = (name: string, bytes: Uint8Array): ZipRecord => ({ name: `${folder}/${name}`, bytes });
  return buildZip([
    record("data.pkl", data),
    ...(byteorder === null ? [] : [record("byteorder", Buffer.from(byteorder))]),
    ...Object.entries(storages).map(([key, bytes]) => record(`data/${key}`, bytes)),
    ...(version === null ? [] : [record("version", Buffer.from(version))]),
    ...extra,
  ]);
}

/** A pickle of `{"w": value}`. */
export function pickleOf(value: Part): Uint8Array {
  return pickle(dict([[text("w"), value]]));
}

/** The value of `w` in a zip whose pickle is `{"w": value}`. */
export async function readW(value: Part, parts: Partial<TorchZipParts> = {}): Promise<TreeValue> {
  const tree = await readTree(memorySource(torchZipFile({ pickle: pickleOf(value), ...parts }), "model.pt"), TORCH_FORMATS);
  return (tree.root as unknown as { entries: Map<string, TreeValue> }).entries.get("w") ?? null;
}

/** Everything in a file, bytes read. */
export function readFile(bytes: Uint8Array): Promise<ReadTensors> {
  return readTensors(bytes, TORCH_FORMATS, "model.pt");
}

const MAGIC = "\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

/** What a stream of torch's old format is made of. */
export interface LegacyParts {
  readonly magic?: Part;
  readonly protocol?: Part;
  readonly system?: Part;
  readonly object?: Uint8Array;
  /** A pickle of the list of keys; by default those of `storages`. */
  readonly keys?: Uint8Array;
  /** Key, count of elements, bytes. */
  readonly storages?: readonly (readonly [key: string, count: number | bigint, bytes: Uint8Array])[];
}

/** A stream with one float32 tensor `w`, unless told otherwise. */
export function legacyFile(parts: LegacyParts = {}): Uint8Array {
  const storages = parts.storages ?? [["0", 12, TWELVE]];
  return bytesOf(
    parts.magic ?? MAGIC,
    parts.protocol ?? "\x80\x02M\xe9\x03.",
    parts.system ?? pickle(dict([[text("little_endian"), "\x88"]])),
    parts.object ?? pickleOf(tensor({ view: "N" })),
    parts.keys ?? pickle("](", ...storages.map(([key]) => text(key)), "e"),
    ...storages.flatMap(([, count, bytes]) => [u64(count), bytes]),
  );
}
