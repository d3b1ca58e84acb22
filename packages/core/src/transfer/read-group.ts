/** Small neighbours: one read into scratch memory, then each to its place. */
import { inflateExactly } from "../container/inflate.ts";
import { PieceChecksum, pieceError } from "./piece-checksum.ts";
import { pieceTarget } from "./piece-target.ts";
import { type ReadRun, readCounted, sourceAt } from "./read-run.ts";
import type { FilePiece, ReadTask } from "./read-tasks.ts";

/** Runs a task of type `group`. @throws {FormatError} RANKCAST_CHECKSUM, RANKCAST_INFLATE. */
export async function readGroup(run: ReadRun, task: ReadTask): Promise<void> {
  const source = sourceAt(run, task.source);
  const release = await run.budget.take(task.end - task.begin);
  try {
    run.signal.throwIfAborted();
    const [only] = task.pieces;
    const window = task.pieces.length === 1 && only?.extent.encoding === "stored" ? directWindow(only) : null;
    const scratch = window ?? new Uint8Array(task.end - task.begin);
    await readCounted(run, source, scratch, task.begin);
    for (const each of task.pieces) await placePiece(run, each, source.name, scratch, task.begin, window !== null);
  } finally {
    release();
  }
}

function directWindow({ piece, read }: FilePiece): Uint8Array | null {
  return pieceTarget(piece, read.target).window(0, piece.nbytes);
}

async function placePiece(
  run: ReadRun,
  { piece, extent, read }: FilePiece,
  file: string,
  scratch: Uint8Array,
  begin: number,
  placed: boolean,
): Promise<void> {
  const stored = scratch.subarray(extent.offset - begin, extent.offset - begin + extent.storedBytes);
  const inflated = extent.encoding === "stored" ? { bytes: stored } : await inflateExactly(stored, piece.nbytes);
  if ("fault" in inflated) throw pieceError("RANKCAST_INFLATE", { extent, file }, inflated.fault, {}, inflated.cause);
  const checksum = new PieceChecksum({ extent, file }, run.verify);
  checksum.update(inflated.bytes);
  checksum.finish();
  if (!placed) pieceTarget(piece, read.target).write(0, inflated.bytes);
  run.stats.bytesNeeded += extent.storedBytes;
  run.advance(piece.nbytes);
}
