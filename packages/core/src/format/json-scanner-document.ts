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
export function readDocument({ source, head, signal }: FormatInput): Promise<Uint8Array> {
  if (head.length === source.sizeBytes) return Promise.resolve(head);
  const known = documents.get(source) ?? readBytes(source, 0, source.sizeBytes, signal);
  documents.set(source, known);
  known.catch(() => documents.delete(source));
  return known;
}

/**
 * Names in the root object as far as the text is JSON; empty when it is no object. Looks at the head first and reads the whole file only
 * when the head is JSON without an answer.
 * @param answers whether the names seen so far already decide.
 */
export async function rootNames(input: FormatInput, answers: (names: ReadonlySet<string>) => boolean): Promise<ReadonlySet<string>> {
  const { head, source, limits } = input;
  if (head.find((byte) => byte !== 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d) !== OPEN_OBJECT) return new Set();
  const whole = head.length === source.sizeBytes;
  const first = scanNames(whole ? head : upToAscii(head), input);
  if (whole || !first.cut || answers(first.names) || source.sizeBytes > limits.indexBytes) return first.names;
  return scanNames(await readDocument(input), input).names;
}

/** A prefix that ends between two characters. */
function upToAscii(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(0, bytes.findLastIndex((byte) => byte < 0x80) + 1);
}

function scanNames(bytes: Uint8Array, { limits, source }: FormatInput): { readonly names: ReadonlySet<string>; readonly cut: boolean } {
  const names = new Set<string>();
  try {
    const fail = (_fault: string, _problem: string, offset: number): never => {
      throw new Stop(offset);
    };
    const scanner = new JsonScanner(bytes, { limits, where: source.name, fail });
    scanner.beginObject();
    for (let name = scanner.nextKey(); name !== null; name = scanner.nextKey()) {
      names.add(name);
      scanner.skipValue();
    }
    return { names, cut: false };
  } catch (error) {
    if (error instanceof Stop) return { names, cut: error.offset + CUT_BYTES > bytes.length };
    if (error instanceof CheckpointError) return { names, cut: false };
    throw error;
  }
}
