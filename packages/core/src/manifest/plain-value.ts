/** Values of a checkpoint that are no tensors, as JSON can hold them. */
import { ComplexValue, type TreeValue } from "./checkpoint-tree.ts";
import type { PlainValue } from "./manifest.ts";

/** Longer byte strings are listed by their length: they are random-generator states and embedded files, not settings. */
const LISTED_BYTES_MAX = 4096;

/**
 * `value` as a plain value; `undefined` when it is a container, a tensor or opaque. What JSON cannot hold keeps its content as text: large
 * ints in decimal, complex numbers and bytes as Python writes them.
 */
export function toPlainValue(value: TreeValue): PlainValue | undefined {
  if (value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (value instanceof Uint8Array) return value.length > LISTED_BYTES_MAX ? `<${value.length} bytes>` : pythonBytes(value);
  return value instanceof ComplexValue ? pythonComplex(value) : undefined;
}

const ESCAPES: ReadonlyMap<number, string> = new Map([
  [0x09, "\\t"],
  [0x0a, "\\n"],
  [0x0d, "\\r"],
  [0x5c, "\\\\"],
]);

/** Python's `repr` of bytes. */
export function pythonBytes(bytes: Uint8Array): string {
  const mark = bytes.includes(0x27) && !bytes.includes(0x22) ? '"' : "'";
  let text = `b${mark}`;
  for (const byte of bytes) {
    if (byte === mark.charCodeAt(0)) text += `\\${mark}`;
    else
      text += ESCAPES.get(byte) ?? (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`);
  }
  return text + mark;
}

/** Python's `repr` of a complex number: the real part is left out when it is a positive zero. */
function pythonComplex({ re, im }: ComplexValue): string {
  const imaginary = `${pythonNumber(im)}j`;
  if (Object.is(re, 0)) return imaginary;
  return `(${pythonNumber(re)}${imaginary.startsWith("-") ? "" : "+"}${imaginary})`;
}

function pythonNumber(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  return Object.is(value, -0) ? "-0" : String(value);
}
