/** One large compressed piece: read, inflated and placed in portions; at no time more than a few of them exist. */
import { createInflateRaw, type InflateRaw } from "node:zlib";
import { PieceChecksum, type PiecePlace, pieceError } from "./piece-checksum.ts";
import { type PieceTarget, pieceTarget } from "./piece-target.ts";
import { type ReadRun, readCounted, sourceAt } from "./read-run.ts";
import type { FilePiece } from "./read-tasks.ts";

const STORED_PORTION_BYTES = 256 * 1024;
const INFLATED_PORTION_BYTES = 2 ** 20;

/**
 * Inflates a piece into its place.
 * @throws {FormatError} RANKCAST_INFLATE when it inflates to another size, is damaged, or ends before its stored bytes do; RANKCAST_CHECKSUM.
 */
export async function inflatePiece(run: ReadRun, { piece, extent, read }: FilePiece): Promise<void> {
  const source = sourceAt(run, extent.source);
  const place = { extent, file: source.name };
  const release = await run.budget.take(STORED_PORTION_BYTES + INFLATED_PORTION_BYTES);
  const inflate = createInflateRaw({ chunkSize: INFLATED_PORTION_BYTES });
  const feeding = feed(run, place, inflate);
  feeding.catch((error: Error) => inflate.destroy(error));
  try {
    const checksum = new PieceChecksum(place, run.verify);
    const nbytes = await drain(run, place, inflate, pieceTarget(piece, read.target), checksum);
    await feeding;
    if (nbytes !== piece.nbytes) throw pieceError("RANKCAST_INFLATE", place, `it inflates to ${nbytes} bytes, expected ${piece.nbytes}`);
    if (inflate.bytesWritten !== extent.storedBytes) {
      throw pieceError("RANKCAST_INFLATE", place, `${extent.storedBytes - inflate.bytesWritten} bytes follow the compressed data`);
    }
    checksum.finish();
  } finally {
    inflate.destroy();
    // The source may be closed once this function has ended.
    await Promise.allSettled([feeding]);
    release();
  }
}

/** Gives the stored bytes to the decoder as fast as it takes them; stops when the compressed data has ended. */
async function feed(run: ReadRun, { extent }: PiecePlace, inflate: InflateRaw): Promise<void> {
  const source = sourceAt(run, extent.source);
  for (let at = 0; at < extent.storedBytes && !inflate.readableEnded && !inflate.destroyed; ) {
    // The decoder keeps the bytes until it has used them, so each portion is memory of its own.
    const portion = new Uint8Array(Math.min(STORED_PORTION_BYTES, extent.storedBytes - at));
    await readCounted(run, source, portion, extent.offset + at);
    at += portion.length;
    await new Promise<void>((resolve, reject) => {
      inflate.once("close", resolve);
      inflate.write(portion, (error) => {
        inflate.off("close", resolve);
        if (error) reject(error);
        else resolve();
      });
    });
  }
  inflate.end();
}

async function drain(run: ReadRun, place: PiecePlace, inflate: InflateRaw, target: PieceTarget, checksum: PieceChecksum): Promise<number> {
  let at = 0;
  try {
    for await (const portion of inflate as AsyncIterable<Buffer>) {
      if (at + portion.length > target.nbytes) {
        throw pieceError("RANKCAST_INFLATE", place, `it inflates to more than the ${target.nbytes} bytes expected`);
      }
      checksum.update(portion);
      target.write(at, portion);
      at += portion.length;
      run.advance(portion.length);
    }
  } catch (cause) {
    // zlib's own complaints have codes Z_…; anything else is the source's error or ours.
    if (!String((cause as { code?: unknown }).code).startsWith("Z_")) throw cause;
    throw pieceError("RANKCAST_INFLATE", place, "the compressed data is damaged", {}, cause);
  }
  return at;
}
