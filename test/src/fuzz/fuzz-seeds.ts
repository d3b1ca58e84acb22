/** Where seeds come from: the fixtures, the ZeRO directories, and the kept corpus. Sorted, so that an input's index means the same everywhere. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DEFAULT_LIMITS } from "@rankcast/core";
import { buildManifest, encodeManifest, isTarHeader, memorySource, noSiblings, readCheckpoint, resolved } from "@rankcast/core/internal";
import type { FuzzSeed } from "./fuzz-input.ts";
import { readZipModel } from "./zip-model.ts";

const TEST_ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** Absolute path of the kept corpus: a folder per reader, a file or folder per input. */
export const CORPUS = join(TEST_ROOT, "fuzz-corpus");
/** Larger files only cost time: what they hold is in smaller ones too. */
const SEED_BYTES_MAX = 9000;

/** All seeds. */
export async function loadSeeds(): Promise<FuzzSeed[]> {
  const files = [...fixtureSeeds(), ...zeroSeeds(), ...corpusSeeds()].filter((seed) => sizeOf(seed) <= SEED_BYTES_MAX * seed.files.size);
  return [...files, ...jsonSeeds(files), ...(await manifestSeeds(files))];
}

function sizeOf({ files }: FuzzSeed): number {
  let nbytes = 0;
  for (const bytes of files.values()) nbytes += bytes.length;
  return nbytes;
}

function fixtureSeeds(): FuzzSeed[] {
  const seeds: FuzzSeed[] = [];
  for (const group of ["accepted", "refused"]) {
    for (const folder of list(join(TEST_ROOT, "fixtures", group))) {
      for (const name of list(join(TEST_ROOT, "fixtures", group, folder))) {
        seeds.push(seedAt(join(TEST_ROOT, "fixtures", group, folder, name), `${group}/${folder}/${name}`));
      }
    }
  }
  return seeds;
}

function zeroSeeds(): FuzzSeed[] {
  const root = join(TEST_ROOT, "fixtures-zero");
  const folders = list(root).filter((name) => statSync(join(root, name)).isDirectory());
  return folders.map((name) => ({ ...seedAt(join(root, name), `zero/${name}`), reader: "zero" }));
}

/** Inputs that once met something new, or went wrong. */
export function corpusSeeds(): FuzzSeed[] {
  return list(CORPUS).flatMap((reader) =>
    list(join(CORPUS, reader)).map((name) => ({ ...seedAt(join(CORPUS, reader, name), `corpus/${reader}/${name}`), reader })),
  );
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return [];
  }
}

function seedAt(path: string, name: string): FuzzSeed {
  if (!statSync(path).isDirectory()) {
    const bytes = bytesAt(path);
    return { name, reader: readerOf(bytes), entry: "input", files: new Map([["input", bytes]]) };
  }
  const files = new Map<string, Uint8Array>();
  for (const each of readdirSync(path, { recursive: true }).map(String).sort()) {
    if (!statSync(join(path, each)).isDirectory()) files.set(each, bytesAt(join(path, each)));
  }
  // A folder of one file, `input`, holds the bytes of an entry whose name does not matter.
  const entry = [...files.keys()].find((each) => each.endsWith(".json")) ?? "";
  return { name, reader: directoryReader([...files.keys()]), entry, files };
}

/** Each in memory of its own: a view of Node's file pool would let one seed's readers see another's bytes. */
function bytesAt(path: string): Uint8Array {
  return Uint8Array.from(readFileSync(path));
}

function directoryReader(names: readonly string[]): string {
  if (names.some((name) => name.endsWith(".distcp") || name.endsWith(".metadata"))) return "dcp";
  if (names.some((name) => name.endsWith("model_states.pt"))) return "zero";
  return names.includes("model.json") ? "tfjs" : "sharded";
}

function readerOf(bytes: Uint8Array): string {
  const text = Buffer.from(bytes.subarray(0, 64)).toString("latin1");
  if (text.startsWith("PK")) {
    const names = readZipModel(bytes)?.map(({ name }) => name) ?? [];
    return names.length > 0 && names.every((name) => name.endsWith(".npy")) ? "npz" : "torch-zip";
  }
  if (text.startsWith("\x93NUMPY")) return "npy";
  if (text.startsWith("GGUF")) return "gguf";
  if (isTarHeader(bytes.subarray(0, 512))) return "torch-tar";
  if (/^\x80.\x8a\x0a/s.test(text)) return "torch-legacy";
  if (/^\x80|^[(\]}c]/.test(text)) return "pickle";
  return "safetensors";
}

/** Texts for the scanner alone: headers and indexes. */
function jsonSeeds(seeds: readonly FuzzSeed[]): FuzzSeed[] {
  return seeds.flatMap((seed) => {
    const bytes = seed.files.get(seed.entry) ?? new Uint8Array();
    const begin = seed.reader === "safetensors" ? 8 : 0;
    if (!["safetensors", "sharded", "tfjs"].includes(seed.reader) || bytes[begin] !== 0x7b) return [];
    const end = bytes.lastIndexOf(0x7d) + 1;
    return [{ name: `json of ${seed.name}`, reader: "json", entry: "input", files: new Map([["input", bytes.slice(begin, end)]]) }];
  });
}

/** Encoded manifests of what can be read. */
async function manifestSeeds(seeds: readonly FuzzSeed[]): Promise<FuzzSeed[]> {
  const made: FuzzSeed[] = [];
  for (const seed of seeds) {
    const bytes = seed.files.size === 1 ? seed.files.get(seed.entry) : undefined;
    if (!bytes || !seed.name.startsWith("accepted/")) continue;
    const source = resolved("input", memorySource(bytes, "input"), noSiblings("input"));
    const tree = await readCheckpoint(source, { limits: DEFAULT_LIMITS }).catch(() => null);
    if (!tree) continue;
    const encoded = Uint8Array.from(encodeManifest(buildManifest(tree, { limits: DEFAULT_LIMITS })));
    if (encoded.length <= SEED_BYTES_MAX) {
      made.push({ name: `manifest of ${seed.name}`, reader: "manifest", entry: "input", files: new Map([["input", encoded]]) });
    }
  }
  return made;
}
