/**
 * Protobuf bytes of what barriers are made of: arrivals and decisions that carry nothing but names and numbers. The generated code can do all of it; these few
 * lines do the common case in a tenth of the steps, which counts while a rank's first barriers are still interpreted. Everything else is left to it: texts that
 * are long or not ASCII, failures, payloads, fields that this version does not know.
 *
 * A message of `coordination.proto` with one field set: the number of that field (2 for both) and length-delimited, then its fields in order.
 */
import { FRAME_HEAD_BYTES } from "./frame.ts";
import type { Arrive, Decision } from "./messages.ts";

/** Field 2 of `FromRank` (`arrive`) and of `ToRank` (`decision`), length-delimited. */
const MESSAGE_TAG = 0x12;
/** Field 1 of both, a string. */
const BARRIER_TAG = 0x0a;
/** Field 2 of both, a number. */
const GENERATION_TAG = 0x10;
/** Field 3 of `Arrive`, a string. */
const DIGEST_TAG = 0x1a;
/** Field 6 of `Arrive`, a number. */
const TIMEOUT_TAG = 0x30;
/** Field 3 of `Decision`, a truth value. */
const PASSED_TAG = 0x18;
/** A varint of one byte says less than this. */
const LONG_VARINT = 0x80;
/** Tags, lengths and numbers of an arrival at most. */
const ARRIVAL_OVERHEAD_BYTES = 2 + 6 + 2 + 6;
/** A 32 bit number takes so many bytes at most. */
const VARINT_BYTES_MAX = 5;

/** An arrival as a frame of a lane; null when it is none of the plain ones. */
export function encodePlainArrival({ barrier, generation, digest, failure, payload, timeoutMs = 0 }: Arrive): Buffer | null {
  const bytesMax = ARRIVAL_OVERHEAD_BYTES + barrier.length + digest.length;
  if (failure !== undefined || payload !== undefined || bytesMax >= LONG_VARINT) return null;
  const begin = FRAME_HEAD_BYTES + 2;
  const frame = Buffer.allocUnsafe(begin + bytesMax);
  let at = putText(frame, begin, BARRIER_TAG, barrier);
  at = putNumber(frame, at, GENERATION_TAG, generation);
  if (digest !== "") at = putText(frame, at, DIGEST_TAG, digest);
  if (timeoutMs > 0) at = putNumber(frame, at, TIMEOUT_TAG, timeoutMs);
  if (at < 0) return null;
  frame[FRAME_HEAD_BYTES] = MESSAGE_TAG;
  frame[FRAME_HEAD_BYTES + 1] = at - begin;
  frame.writeUInt32LE(at - FRAME_HEAD_BYTES);
  return frame.subarray(0, at);
}

/** A plain arrival from the bytes of a `FromRank`; null for everything else. */
export function decodePlainArrival(bytes: Uint8Array): Arrive | null {
  const fields = new PlainFields(bytes);
  const barrier = fields.text(BARRIER_TAG);
  const generation = fields.number(GENERATION_TAG);
  const digest = fields.text(DIGEST_TAG);
  const timeoutMs = fields.number(TIMEOUT_TAG);
  if (!fields.isWhole) return null;
  return timeoutMs > 0 ? { type: "arrive", barrier, generation, digest, timeoutMs } : { type: "arrive", barrier, generation, digest };
}

/** A plain decision from the bytes of a `ToRank`; null for everything else. */
export function decodePlainDecision(bytes: Uint8Array): Decision | null {
  const fields = new PlainFields(bytes);
  const barrier = fields.text(BARRIER_TAG);
  const generation = fields.number(GENERATION_TAG);
  const passed = fields.number(PASSED_TAG);
  return fields.isWhole && passed <= 1 ? { type: "decision", barrier, generation, passed: passed === 1 } : null;
}

/** Where the next field begins; -1 for a text that is not ASCII, or after one. */
function putText(frame: Buffer, at: number, tag: number, text: string): number {
  if (at < 0) return at;
  frame[at] = tag;
  frame[at + 1] = text.length;
  const end = at + 2 + text.length;
  for (let from = 0; from < text.length; from += 1) {
    const code = text.charCodeAt(from);
    if (code >= LONG_VARINT) return -1;
    frame[at + 2 + from] = code;
  }
  return end;
}

function putNumber(frame: Buffer, at: number, tag: number, value: number): number {
  if (at < 0) return at;
  frame[at] = tag;
  let next = at + 1;
  let rest = value >>> 0;
  while (rest >= LONG_VARINT) {
    frame[next] = (rest & 0x7f) | LONG_VARINT;
    rest >>>= 7;
    next += 1;
  }
  frame[next] = rest;
  return next + 1;
}

/** Fields of a plain message, asked for in the order of their numbers; one that is not there is empty or 0. */
class PlainFields {
  readonly #bytes: Uint8Array;
  /** -1: something that is not plain. */
  #at: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#at = bytes[0] === MESSAGE_TAG && bytes.length < LONG_VARINT && bytes[1] === bytes.length - 2 ? 2 : -1;
  }

  /** Whether all bytes have been understood. */
  get isWhole(): boolean {
    return this.#at === this.#bytes.length;
  }

  text(tag: number): string {
    const bytes = this.#bytes;
    if (this.#at < 0 || bytes[this.#at] !== tag) return "";
    const from = this.#at + 2;
    const end = from + (bytes[this.#at + 1] ?? LONG_VARINT);
    this.#at = end <= bytes.length && isAscii(bytes, from, end) ? end : -1;
    return this.#at < 0 ? "" : Buffer.from(bytes.buffer, bytes.byteOffset + from, end - from).toString("latin1");
  }

  number(tag: number): number {
    const bytes = this.#bytes;
    if (this.#at < 0 || bytes[this.#at] !== tag) return 0;
    let value = 0;
    for (let count = 0; count < VARINT_BYTES_MAX; count += 1) {
      const byte = bytes[this.#at + 1 + count] ?? LONG_VARINT;
      value += (byte & 0x7f) * 2 ** (7 * count);
      if (byte < LONG_VARINT) {
        this.#at = value < 2 ** 32 ? this.#at + count + 2 : -1;
        return value;
      }
    }
    this.#at = -1;
    return 0;
  }
}

function isAscii(bytes: Uint8Array, from: number, end: number): boolean {
  for (let at = from; at < end; at += 1) if ((bytes[at] ?? LONG_VARINT) >= LONG_VARINT) return false;
  return true;
}
