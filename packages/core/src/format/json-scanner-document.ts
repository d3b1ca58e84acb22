/** JSON files as checkpoints' entry files: which names their root object has, without a full parse. */
import { CheckpointError } from "../errors/checkpoint-error.ts";
import { type ByteSource, readBytes } from "../source/byte-source.ts";
import type { FormatInput } from "./checkpoint-format.ts";
import { JsonScanner } from "./json-scanner.ts";

const OPEN_OBJECT = 0x7b;
/** A fault this close to the end of a prefix may be the cut, not the text: the longest literal is `false`. */
const CUT_BYTES = 8;

/** Bytes of a source that was looked at, so that several formats and the reader share one read. */
const documents = new WeakMap<ByteSource, Promise<Uint8Array>>();

class Stop extends Error {
  readonly offset: number;
  constructor(offset: number) {
    super("stop");
    this.offset = offset;
  }
}

/** All bytes of a JSON file; the caller has bounded its size. */
export function readDocument({ source, head, heap, signal }: FormatInput): Promise<Uint8Array> {
  if (head.length === source.sizeBytes) return Promise.resolve(head);
  const found = documents.get(source);
  if (found !== undefined) return found;
  heap.charge(source.sizeBytes, source.name);
  const known = readBytes(source, 0, source.sizeBytes, signal);
  documents.set(source, known);
  known.catch(() => documents.delete(source));
  return known;
}

/** Names in a root object. */
export interface RootNames {
  /** Those that were asked for. */
  readonly found: ReadonlySet<string>;
  /** How many there are, asked for or not. */
  readonly count: number;
}

const NO_NAMES: RootNames = { found: new Set(), count: 0 };

/**
 * Which of the `wanted` names the root object has, as far as the text is JSON; none when it is no object. Looks at the head first and reads the whole
 * file only when the head is JSON and the first of them is not in it.
 */
export async function rootNames(input: FormatInput, wanted: readonly string[]): Promise<RootNames> {
  const { head, source, limits } = input;
  if (head.find((byte) => byte !== 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d) !== OPEN_OBJECT) return NO_NAMES;
  const whole = head.length === source.sizeBytes;
  const first = scanNames(whole ? head : upToAscii(head), wanted, input);
  if (whole || !first.cut || first.found.has(wanted[0] ?? "") || source.sizeBytes > limits.indexBytes) return first;
  return scanNames(await readDocument(input), wanted, input);
}

/** A prefix that ends between two characters. */
function upToAscii(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(0, bytes.findLastIndex((byte) => byte < 0x80) + 1);
}

function scanNames(bytes: Uint8Array, wanted: readonly string[], { limits, source }: FormatInput): RootNames & { readonly cut: boolean } {
  const found = new Set<string>();
  let count = 0;
  try {
    const fail = (_fault: string, _problem: string, offset: number): never => {
      throw new Stop(offset);
    };
    const scanner = new JsonScanner(bytes, { limits, where: source.name, fail });
    scanner.beginObject();
    for (let name = scanner.nextKey(); name !== null; name = scanner.nextKey()) {
      if (wanted.includes(name)) found.add(name);
      count += 1;
      scanner.skipValue();
    }
    return { found, count, cut: false };
  } catch (error) {
    if (error instanceof Stop) return { found, count, cut: error.offset + CUT_BYTES > bytes.length };
    if (error instanceof CheckpointError) return { found, count, cut: false };
    throw error;
  }
}
