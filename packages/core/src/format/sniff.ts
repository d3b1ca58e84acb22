/**
 * What a file that is no checkpoint really is. Most "corrupt checkpoints" in issue trackers are Git LFS pointers, HTML login pages and error
 * messages saved under a checkpoint's name; saying so is worth more than any byte offset.
 */
import { isTarHeader } from "../container/tar-header.ts";
import { quote } from "../errors/quote.ts";

const LATIN = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");

/** First bytes of well-known files, as latin1, and what to call them. */
const MAGICS: readonly (readonly [string, string])[] = [
  ["\x1f\x8b", "a gzip file"],
  ["\x28\xb5\x2f\xfd", "a Zstandard file"],
  ["\xfd7zXZ\0", "an xz file"],
  ["BZh", "a bzip2 file"],
  ["7z\xbc\xaf\x27\x1c", "a 7z archive"],
  ["Rar!", "a RAR archive"],
  ["\x04\x22\x4d\x18", "an LZ4 file"],
  ["\x89PNG", "a PNG image"],
  ["\xff\xd8\xff", "a JPEG image"],
  ["GIF8", "a GIF image"],
  ["%PDF", "a PDF document"],
  ["\x7fELF", "a program or library (ELF)"],
  ["\x89HDF\r\n\x1a\n", "an HDF5 file (Keras weights, for example)"],
  ["SQLite format 3", "an SQLite database"],
  ["PAR1", "a Parquet file"],
  ["ARROW1", "an Arrow file"],
  ["GGUF", "a GGUF file"],
  ["lmgg", "a GGML file"],
  ["tjgg", "a GGML file"],
  ["\x93NUMPY", "a numpy array"],
  ["PK\x05\x06", "an empty zip archive"],
  ["PK\x03\x04", "a zip archive that holds no checkpoint"],
  ["\x08\x01\x12", "a TensorFlow SavedModel"],
  ["model_checkpoint_path:", "the text file beside a TensorFlow checkpoint"],
  ["\x80\x02", "a pickle"],
  ["\x80\x03", "a pickle"],
  ["\x80\x04", "a pickle"],
  ["\x80\x05", "a pickle"],
];

const TEXT_MAX = 60;

/** Names the content that begins with `head` (up to a few KiB) in a file of `sizeBytes`. A noun phrase, safe to print. */
export function describeContent(head: Uint8Array, sizeBytes: number): string {
  if (sizeBytes === 0) return "an empty file";
  if (head.every((byte) => byte === 0)) return "zeros (space that was reserved and never written)";
  const text = LATIN(head);
  return describeText(text) ?? describeMagic(head, text) ?? describeRest(head);
}

function describeText(text: string): string | null {
  const start = text.replace(/^\xef\xbb\xbf/, "").trimStart();
  const lower = start.slice(0, 512).toLowerCase();
  if (start.startsWith("version https://git-lfs")) return "a Git LFS pointer, not the file it points to";
  if (lower.startsWith("<!doctype html") || lower.startsWith("<html")) return "an HTML page (a login or error page, most likely)";
  if (lower.startsWith("<?xml") || lower.startsWith("<error>")) return "an XML document (a storage service's error message, most likely)";
  if (start.startsWith("{") || start.startsWith("[")) return describeJson(lower);
  return null;
}

function describeJson(lower: string): string {
  return /"(error|message|detail|code)"\s*:/.test(lower) ? "a JSON error message" : "a JSON document that describes no checkpoint";
}

function describeMagic(head: Uint8Array, text: string): string | null {
  const found = MAGICS.find(([magic]) => text.startsWith(magic));
  if (found) return found[1];
  // The table of a TensorFlow 2 checkpoint begins with an empty key and its header (tensor_bundle.proto): number of shards, version 1.
  if (/^\0\0[\x04-\x20]\x08[\x01-\x7f](\x10\x01)?\x1a\x02\x08\x01/.test(text)) return "the index of a TensorFlow checkpoint";
  if (text.startsWith("TFL3", 4)) return "a TensorFlow Lite model";
  if (/^\x08[\x01-\x0c][\x12\x1a\x22\x3a]/.test(text) && /onnx|pytorch|tf2onnx/i.test(text.slice(0, 200))) return "an ONNX model";
  return isTarHeader(head) ? "a tar archive that holds no checkpoint" : null;
}

function describeRest(head: Uint8Array): string {
  const start = head.subarray(0, TEXT_MAX);
  const printable = [...start].every((byte) => (byte >= 0x20 && byte < 0x7f) || byte === 9 || byte === 10 || byte === 13);
  if (printable) return `text that begins with ${quote(LATIN(start))}`;
  const bytes = [...head.subarray(0, 8)].map((byte) => byte.toString(16).padStart(2, "0"));
  return `unknown data that begins with the bytes ${bytes.join(" ")}`;
}
