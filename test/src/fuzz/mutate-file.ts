/** Changes one file as what it is: archive, stream of pickles, header with text, JSON; now and then as mere bytes. */
import { isTarHeader } from "@rankcast/core/internal";
import { buildZip, type ZipRecord } from "../support/build-zip.ts";
import type { FuzzRandom } from "./fuzz-random.ts";
import { joined, mutateBytes } from "./mutate-bytes.ts";
import { jsonTokens, mutateJson } from "./mutate-json.ts";
import { mutatePickle } from "./mutate-pickle.ts";
import { readTokens, type TokenStream } from "./pickle-tokens.ts";
import { readTarModel, type TarPart, writeTar } from "./tar-model.ts";
import { changeRecords, readZipModel, zipShape } from "./zip-model.ts";

/** Material of other seeds. */
export interface Material {
  readonly opcodes: readonly Uint8Array[];
  /** Another file, for splices. */
  readonly other: Uint8Array;
}

/** What a file is made of, found once per seed. */
export type FileModel =
  | { readonly kind: "zip"; readonly records: readonly ZipRecord[] }
  | { readonly kind: "tar"; readonly parts: readonly TarPart[] }
  | { readonly kind: "pickles"; readonly stream: TokenStream }
  /** `frame`: 8 is a safetensors length, 10 and 12 an npy header, 0 plain JSON. */
  | { readonly kind: "text"; readonly frame: 0 | 8 | 10 | 12; readonly tokens: readonly string[]; readonly rest: Uint8Array }
  | { readonly kind: "bytes" };

const PICKLES_MAX = 12;

/** Looks at the structure of a file. */
export function modelOf(bytes: Uint8Array): FileModel {
  if (bytes[0] === 0x50 && bytes[1] === 0x4b) {
    const records = readZipModel(bytes);
    return records ? { kind: "zip", records } : { kind: "bytes" };
  }
  if (isTarHeader(bytes.subarray(0, 512))) return { kind: "tar", parts: readTarModel(bytes) ?? [] };
  return textModel(bytes) ?? pickleModel(bytes);
}

function textModel(bytes: Uint8Array): FileModel | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const framed = (frame: 0 | 8 | 10 | 12, length: number): FileModel => ({
    kind: "text",
    frame,
    tokens: jsonTokens(Buffer.from(bytes.subarray(frame, frame + length)).toString("latin1")),
    rest: bytes.subarray(frame + length),
  });
  if (bytes[0] === 0x93 && bytes[1] === 0x4e && bytes.length > 12) {
    return bytes[6] === 1 ? framed(10, view.getUint16(8, true)) : framed(12, view.getUint32(8, true));
  }
  if (bytes[0] === 0x7b) return framed(0, bytes.length);
  if (bytes.length > 8) {
    const length = Number(view.getBigUint64(0, true));
    if (length + 8 <= bytes.length && /^\s*\{/.test(Buffer.from(bytes.subarray(8, 40)).toString("latin1"))) return framed(8, length);
  }
  return null;
}

function pickleModel(bytes: Uint8Array): FileModel {
  const stream = readTokens(bytes, PICKLES_MAX);
  return stream.tokens.length > 3 ? { kind: "pickles", stream } : { kind: "bytes" };
}

/** A changed copy of `bytes`. */
export function mutateFile(bytes: Uint8Array, model: FileModel, random: FuzzRandom, material: Material): Uint8Array {
  if (model.kind === "bytes" || random.oneIn(6)) return mutateBytes(bytes, random, material.other);
  const changed = mutateModel(model, random, material);
  return random.oneIn(12) ? mutateBytes(changed, random, material.other) : changed;
}

function mutateModel(model: FileModel & { readonly kind: Exclude<FileModel["kind"], "bytes"> }, random: FuzzRandom, material: Material) {
  if (model.kind === "zip") return mutateZip(model.records, random, material);
  if (model.kind === "tar") return mutateTar(model.parts, random, material);
  if (model.kind === "pickles") return mutatePickle(model.stream, random, material.opcodes);
  const text = Buffer.from(mutateJson(model.tokens, random), "latin1");
  const rest = random.oneIn(5) ? mutateBytes(model.rest, random, model.rest) : model.rest;
  return joined(textFrame(model.frame, text.length + (random.oneIn(24) ? random.below(40) - 20 : 0)), text, rest);
}

function textFrame(frame: 0 | 8 | 10 | 12, length: number): Uint8Array {
  const bytes = Buffer.alloc(frame);
  if (frame === 8) bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(length)));
  if (frame === 10 || frame === 12) {
    bytes.write("\x93NUMPY", "latin1");
    bytes[6] = frame === 10 ? 1 : 2;
    if (frame === 10) bytes.writeUInt16LE(length & 0xffff, 8);
    else bytes.writeUInt32LE(length >>> 0, 8);
  }
  return bytes;
}

function mutateZip(records: readonly ZipRecord[], random: FuzzRandom, material: Material): Uint8Array {
  let changed = [...records];
  if (!random.oneIn(4)) changed = mutatePayload(changed, random, material);
  if (random.oneIn(3)) changed = changeRecords(changed, random);
  return buildZip(changed, zipShape(random, changed.length));
}

/** The pickle of an archive is met most often: it says the most. */
function mutatePayload(records: readonly ZipRecord[], random: FuzzRandom, material: Material): ZipRecord[] {
  const pickled = records.findIndex(({ name }) => name.endsWith("data.pkl"));
  const at = pickled >= 0 && !random.oneIn(4) ? pickled : random.below(records.length);
  return records.map((record, index) => {
    if (index !== at) return record;
    return { ...record, bytes: mutateFile(record.bytes, modelOf(record.bytes), random, material) };
  });
}

function mutateTar(parts: readonly TarPart[], random: FuzzRandom, material: Material): Uint8Array {
  const changed = [...parts];
  const at = random.below(changed.length);
  const part = changed[at];
  if (part && !random.oneIn(4)) changed[at] = { ...part, bytes: mutateFile(part.bytes, pickleModel(part.bytes), random, material) };
  else if (part && random.oneIn(2)) changed.splice(at, 1);
  else if (part) changed.splice(random.below(changed.length), 0, part);
  return writeTar(changed, random);
}
