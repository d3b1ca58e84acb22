/** What is done with an input: every reader from bytes to a validated manifest, and on to tensor bytes. Answers a summary of what was read. */
import { CheckpointError, DEFAULT_LIMITS, FormatError, SourceError, Storage } from "@rankcast/core";
import {
  bindTensors,
  buildManifest,
  type CheckpointTree,
  decodeManifest,
  decodePickle,
  encodeManifest,
  JsonScanner,
  manifestDigest,
  memorySource,
  type PickleOptions,
  type PickleResult,
  readCheckpoint,
  readFromSource,
  readPickle,
  resolved,
  type Siblings,
  type StateDictManifest,
  transferStorages,
} from "@rankcast/core/internal";
import type { FuzzInput } from "./fuzz-input.ts";

const limits = DEFAULT_LIMITS;
/** Inputs with more tensor bytes are not read out: that is work in proportion to what they hold. */
const CONTENT_BYTES_MAX = 256 * 1024;
/** The name every input has; refusals must say it. */
export const INPUT_NAME = "fuzzed-input";

/** Something that must never happen, as opposed to a refusal. */
export class FuzzFailure extends Error {}

/** Reads an input. @throws {CheckpointError} a refusal; anything else is a failure. */
export async function readInput(input: FuzzInput): Promise<string> {
  const first = input.files.get(input.entry) ?? [...input.files.values()][0] ?? new Uint8Array();
  if (input.reader === "json") return readJson(first);
  if (input.reader === "manifest") return readManifest(first);
  if (input.reader === "pickle" && first.length % 3 !== 0) return readBarePickle(first);
  return readFiles(input, first.length);
}

async function readFiles(input: FuzzInput, turn: number): Promise<string> {
  const bytes = input.files.get(input.entry);
  const entry = bytes ? memorySource(bytes, INPUT_NAME) : null;
  const tree = await readCheckpoint(resolved(INPUT_NAME, entry, siblingsOf(input.files)), { limits });
  const manifest = buildManifest(tree, { limits });
  if (turn % 4 === 0) await readContent(tree, manifest);
  if (turn % 8 === 1) requireRoundTrip(manifest);
  if (turn % 2 === 1) buildManifest(tree, { limits, stateDict: true });
  return `${tree.format} ${Math.min(manifest.tensors.length, 3)} ${Math.min(manifest.opaque.length, 3)} ${tree.warnings.map(({ code }) => code)}`;
}

function siblingsOf(files: ReadonlyMap<string, Uint8Array>): Siblings {
  return {
    list: async () => [...files.keys()].sort(),
    open: async (name) => {
      // Formats prove names before they ask for them: on a disk this would leave the directory.
      if (name.split("/").includes("..") || /^[/\\]|^[A-Za-z]:|\0/.test(name)) throw new FuzzFailure(`asked for the file ${name}`);
      const bytes = files.get(name);
      if (!bytes) throw new SourceError("RANKCAST_NOT_FOUND", `${INPUT_NAME}: there is no ${JSON.stringify(name).slice(0, 200)}`);
      return memorySource(bytes, `${INPUT_NAME}/${name}`);
    },
    close: async () => {},
  };
}

async function readContent(tree: CheckpointTree, manifest: StateDictManifest): Promise<void> {
  const nbytes = manifest.storages.reduce((sum, storage) => sum + storage.nbytes, 0);
  if (nbytes > CONTENT_BYTES_MAX) return;
  const storages = manifest.storages.map((storage) =>
    storage.meta ? new Storage(null, 0, storage.nbytes) : Storage.allocate(storage.nbytes),
  );
  const reads = manifest.storages.map((storage, index) => ({ storage, target: storages[index] ?? Storage.allocate(0) }));
  await transferStorages(reads, tree.sources, { limits, verify: true });
  for (const tensor of bindTensors(manifest, storages).slice(0, 8)) {
    if (!tensor.isMeta && tensor.nbytes <= CONTENT_BYTES_MAX) tensor.contiguous();
  }
}

function requireRoundTrip(manifest: StateDictManifest): void {
  const again = decodeManifest(encodeManifest(manifest), limits);
  if (manifestDigest(again) !== manifestDigest(manifest)) throw new FuzzFailure("a manifest differs after a round trip");
}

function readManifest(bytes: Uint8Array): string {
  const manifest = decodeManifest(bytes, limits);
  requireRoundTrip(manifest);
  return `manifest ${Math.min(manifest.tensors.length, 3)}`;
}

function readJson(bytes: Uint8Array): string {
  const fail = (fault: string, problem: string): never => {
    throw new FormatError("RANKCAST_INDEX_SYNTAX", `${INPUT_NAME}: ${fault}: ${problem}`);
  };
  const scanner = new JsonScanner(bytes, { limits, where: INPUT_NAME, fail });
  const kind = scanner.peek();
  if (kind === "object") {
    scanner.beginObject();
    for (let name = scanner.nextKey(); name !== null; name = scanner.nextKey()) {
      if (typeof name !== "string") throw new FuzzFailure("a key is no text");
      scanner.skipValue();
    }
  } else scanner.skipValue();
  scanner.end();
  // Whatever the strict scanner takes, the lax one takes.
  JSON.parse(Buffer.from(bytes).toString("utf8"));
  return `json ${kind}`;
}

/** The machine over whole bytes and over windows as small as they can be must end alike. */
async function readBarePickle(bytes: Uint8Array): Promise<string> {
  const options: PickleOptions = {
    limits,
    where: { file: INPUT_NAME, baseOffset: 0 },
    persistentLoad: (id) => id,
  };
  const whole = outcomeOf(() => readPickle(bytes, options));
  if (bytes.length % 4 === 1) {
    const source = memorySource(bytes, INPUT_NAME);
    const reading = smallWindows(decodePickle(0, bytes.length, options));
    const split = await readFromSource(reading, source).then(
      (result) => ({ result }),
      (error: unknown) => ({ error }),
    );
    if (describe(whole) !== describe(split)) throw new FuzzFailure(`whole: ${describe(whole)}; in windows: ${describe(split)}`);
  }
  if ("error" in whole) throw whole.error;
  return describe(whole);
}

type Outcome = { readonly result: PickleResult } | { readonly error: unknown };

function outcomeOf(work: () => PickleResult): Outcome {
  try {
    return { result: work() };
  } catch (error) {
    return { error };
  }
}

function describe(outcome: Outcome): string {
  if ("error" in outcome) {
    const { error } = outcome;
    return error instanceof CheckpointError ? `${error.code} ${error.message}` : String(error);
  }
  const { result } = outcome;
  return `pickle ${result.endOffset} ${result.globals.length} ${result.warnings.length} ${typeof result.value}`;
}

function* smallWindows(reading: ReturnType<typeof decodePickle>): ReturnType<typeof decodePickle> {
  let step = reading.next();
  while (!step.done) {
    const { offset, nbytes } = step.value;
    const bytes = yield { offset, nbytes, wish: nbytes };
    step = reading.next(bytes.subarray(0, nbytes));
  }
  return step.value;
}
