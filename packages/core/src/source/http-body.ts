/** The bodies of answers: counted, and every way they end early named. */
import { SourceError } from "../errors/checkpoint-error.ts";
import { type BodySink, copyInto } from "./body-sink.ts";
import { type DivertedBody, SurplusBytes } from "./diverted-body.ts";
import { lengthError, shortBody } from "./http-errors.ts";
import type { PieceReader } from "./piece-reader.ts";
import type { SilenceWatch } from "./silence-watch.ts";

/** What reading a body needs of its exchange. */
export interface BodyParts {
  readonly name: string;
  /** Its length when it is known. */
  readonly expected: number | null;
  /** Null for a diverted body. */
  readonly reader: PieceReader | null;
  readonly watch: SilenceWatch;
  /** The reason behind what a stream failed with. */
  readonly explain: (error: unknown) => unknown;
  readonly discard: () => void;
  readonly release: () => void;
  readonly onBytes: (count: number) => void;
}

/**
 * A body in batches of pieces. Counts for itself: node-fetch reports 0 bytes and no error when a server sends one byte too many with the last ones.
 * @throws {SourceError} RANKCAST_HTTP_SHORT, RANKCAST_HTTP_LENGTH, RANKCAST_NETWORK, RANKCAST_NETWORK_SILENT.
 */
export async function* readBody(parts: BodyParts): AsyncGenerator<readonly Buffer[], void, undefined> {
  const { name, expected, reader } = parts;
  if (reader === null) throw new Error("this body was asked for in bulk: take it with `into`");
  let found = 0;
  let complete = false;
  try {
    for await (const batch of reader.batches(parts.watch)) {
      const length = batchBytes(batch);
      found += length;
      parts.onBytes(length);
      if (expected !== null && found > expected) throw surplus(name, expected, found);
      yield batch;
    }
    complete = true;
  } catch (error) {
    throw reasonOf(parts, error, found);
  } finally {
    if (complete) parts.release();
    else parts.discard();
  }
  if (expected !== null && found < expected) throw shortBody(name, expected, found);
}

/**
 * Puts a body into a sink: straight from its connection when it was diverted, else piece by piece.
 * @throws {SourceError} as `readBody`; what the sink refuses with.
 */
export async function fillSink(parts: BodyParts, diverted: DivertedBody | null, sink: BodySink): Promise<void> {
  if (diverted === null) {
    for await (const batch of readBody(parts)) for (const piece of batch) await copyInto(sink, piece);
    return;
  }
  let found = 0;
  const received = (count: number): void => {
    found += count;
    parts.onBytes(count);
  };
  const awaiting = (byte: boolean): void => (byte ? parts.watch.await() : parts.watch.pause());
  try {
    await diverted.into(sink, { received, awaiting });
    parts.release();
  } catch (error) {
    const reason = error instanceof SurplusBytes ? surplus(parts.name, parts.expected ?? found, found + 1) : reasonOf(parts, error, found);
    parts.discard();
    throw reason;
  }
}

/** Bytes of a batch. */
export function batchBytes(batch: readonly Uint8Array[]): number {
  return batch.reduce((sum, each) => sum + each.length, 0);
}

/** How a body that ended early shows up in Node and node-fetch. */
const CUT = new Set(["ERR_STREAM_PREMATURE_CLOSE", "ECONNRESET", "EPIPE"]);

function reasonOf(parts: BodyParts, error: unknown, found: number): unknown {
  const reason = parts.explain(error);
  const cut = reason instanceof SourceError && CUT.has(String(reason.details["systemError"]));
  return cut ? shortBody(parts.name, parts.expected, found) : reason;
}

function surplus(name: string, expected: number, found: number): SourceError {
  return lengthError(name, `the body is longer than its declared ${expected} bytes`, expected, found);
}
