/** Small neighbours: one read into scratch memory, then each to its place. */
import { crc32 } from "../checksum/crc32.ts";
import { inflateExactly } from "../container/inflate.ts";
import { checksumError, pieceError } from "./piece-checksum.ts";
import { pieceTarget } from "./piece-target.ts";
import { type ReadRun, readCounted, sourceAt } from "./read-run.ts";
import type { FilePiece, ReadTask } from "./read-tasks.ts";

/** Runs a task of type `group`. @throws {FormatError} RANKCAST_CHECKSUM, RANKCAST_INFLATE. */
export async function readGroup(run: ReadRun, task: ReadTask): Promise<void> {
  const source = sourceAt(run, task.source);
  const nbytes = task.end - task.begin;
  const release = await run.budget.take(nbytes);
  const window = directWindow(task);
  const scratch = window ?? run.scratch.take(nbytes);
  try {
    run.signal.throwIfAborted();
    await readCounted(run, source, scratch, task.begin);
    // Without a promise per piece: there may be 100 000, and most need nothing but a checksum and a copy.
    for (let index = 0; index < task.pieces.length; index += 1) {
      const each = task.pieces[index] as FilePiece;
      const { offset, storedBytes, encoding } = each.extent;
      const stored = scratch.subarray(offset - task.begin, offset - task.begin + storedBytes);
      const bytes = encoding === "stored" ? stored : await inflated(each, stored, source.name);
      placePiece(run, each, source.name, bytes, window !== null);
    }
  } finally {
    if (window === null) run.scratch.give(scratch);
    release();
  }
}

/** The final memory of a lone stored piece, so that it is read straight into it; null for anything else. */
function directWindow({ pieces }: ReadTask): Uint8Array | null {
  const only = pieces[0];
  if (only === undefined || pieces.length > 1 || only.extent.encoding !== "stored") return null;
  return pieceTarget(only.piece, only.read.target).window(0, only.piece.nbytes);
}

async function inflated({ piece, extent }: FilePiece, stored: Uint8Array, file: string): Promise<Uint8Array> {
  const result = await inflateExactly(stored, piece.nbytes);
  if ("fault" in result) throw pieceError("RANKCAST_INFLATE", { extent, file }, result.fault, {}, result.cause);
  return result.bytes;
}

function placePiece(run: ReadRun, { piece, extent, read }: FilePiece, file: string, bytes: Uint8Array, placed: boolean): void {
  if (run.verify && extent.crc32 !== null) {
    const found = crc32(bytes);
    if (found !== extent.crc32) throw checksumError({ extent, file }, extent.crc32, found);
  }
  if (!placed) {
    if (piece.rectangle) pieceTarget(piece, read.target).write(0, bytes);
    else read.target.bytes(piece.at, piece.nbytes).set(bytes);
  }
  run.stats.bytesNeeded += extent.storedBytes;
  run.advance(piece.nbytes);
}
