/**
 * Bytes of a pickle as text. Python's unpickler decodes UTF-8 with `surrogatepass`: a surrogate that stands alone, three bytes long, is a
 * legal character of a name; everything else that is not UTF-8 is an error. `TextDecoder` cannot say that, so it only serves as the fast
 * way for long valid text.
 */

const FATAL = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** Below this length a loop in JavaScript is quicker than a call that may have to throw. */
const DECODER_BYTES_MIN = 512;
const CHUNK_UNITS = 8192;

/** Whether all bytes of `[begin, end)` are ASCII. */
export function isAscii(bytes: Uint8Array, begin: number, end: number): boolean {
  for (let at = begin; at < end; at += 1) {
    if ((bytes[at] as number) > 0x7f) return false;
  }
  return true;
}

/** Text of `[begin, end)` as UTF-8 with lone surrogates allowed; null when it is not that. `buffer` shows the same memory as `bytes`. */
export function decodeUtf8(bytes: Uint8Array, buffer: Buffer, begin: number, end: number): string | null {
  if (isAscii(bytes, begin, end)) return buffer.toString("latin1", begin, end);
  if (end - begin >= DECODER_BYTES_MIN) {
    try {
      return FATAL.decode(bytes.subarray(begin, end));
    } catch {
      // Not plain UTF-8: lone surrogates, or an error. The loop below tells which.
    }
  }
  return decodeWithSurrogates(bytes, begin, end);
}

function decodeWithSurrogates(bytes: Uint8Array, begin: number, end: number): string | null {
  let text = "";
  let units: number[] = [];
  let at = begin;
  while (at < end) {
    const lead = bytes[at] as number;
    const length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    if (length === 0 || at + length > end) return null;
    const point = decodePoint(bytes, at, length, lead);
    if (point < 0) return null;
    if (point > 0xffff) units.push(0xd800 + ((point - 0x10000) >> 10), 0xdc00 + ((point - 0x10000) & 0x3ff));
    else units.push(point);
    if (units.length >= CHUNK_UNITS) {
      text += String.fromCharCode(...units);
      units = [];
    }
    at += length;
  }
  return text + String.fromCharCode(...units);
}

/** One code point, or -1 for overlong forms, bad continuation bytes and values above U+10FFFF. */
function decodePoint(bytes: Uint8Array, at: number, length: number, lead: number): number {
  if (length === 1) return lead;
  let point = lead & (0xff >> (length + 1));
  for (let index = 1; index < length; index += 1) {
    const next = bytes[at + index] as number;
    if ((next & 0xc0) !== 0x80) return -1;
    point = (point << 6) | (next & 0x3f);
  }
  const smallest = length === 2 ? 0x80 : length === 3 ? 0x800 : 0x10000;
  return point < smallest || point > 0x10ffff ? -1 : point;
}

/** Text of a Python 2 `str`: UTF-8 when it is that, else Latin-1, as people load such files (`encoding="latin1"`). */
export function decodePython2(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return decodeUtf8(bytes, buffer, 0, bytes.length) ?? buffer.toString("latin1");
}

/** Bytes of `text` with one byte per character, or null when a character does not fit. Python: `text.encode("latin1")`. */
export function encodeLatin1(text: string): Uint8Array | null {
  for (let at = 0; at < text.length; at += 1) {
    if (text.charCodeAt(at) > 0xff) return null;
  }
  return new Uint8Array(Buffer.from(text, "latin1"));
}
