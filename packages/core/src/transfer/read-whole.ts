/** One large piece: portions straight into the final memory, several on their way, checked in order as they arrive. */
import { inflatePiece } from "./inflate-piece.ts";
import { PieceChecksum } from "./piece-checksum.ts";
import { pieceTarget } from "./piece-target.ts";
import { type ReadRun, readCounted, sourceAt } from "./read-run.ts";
import type { FilePiece, ReadTask } from "./read-tasks.ts";

/** Of a local file: small enough to be in the cache when its checksum is taken. */
const FILE_PORTION_BYTES = 2 ** 20;
/** Of anything else: large enough that a round trip costs little beside it. */
const REMOTE_PORTION_BYTES = 8 * 2 ** 20;

/** Runs a task of type `whole`. @throws {FormatError} RANKCAST_CHECKSUM, RANKCAST_INFLATE. */
export async function readWhole(run: ReadRun, task: ReadTask): Promise<void> {
  for (const each of task.pieces) {
    if (each.extent.encoding === "deflate") await inflatePiece(run, each);
    else await readPortions(run, each);
    run.stats.bytesNeeded += each.extent.storedBytes;
  }
}

async function readPortions(run: ReadRun, { piece, extent, read }: FilePiece): Promise<void> {
  const source = sourceAt(run, extent.source);
  const checksum = new PieceChecksum({ extent, file: source.name }, run.verify);
  const target = pieceTarget(piece, read.target);
  const portionBytes = source.file ? FILE_PORTION_BYTES : REMOTE_PORTION_BYTES;
  // Each portion frees its own budget, so waiting for more can never wait for itself.
  let checked: Promise<void> = Promise.resolve();
  let failed = false;
  try {
    for (let at = 0; at < piece.nbytes && !failed; at += portionBytes) {
      const length = Math.min(portionBytes, piece.nbytes - at);
      const release = await run.budget.take(length);
      if (run.signal.aborted) {
        release();
        run.signal.throwIfAborted();
      }
      const window = target.window(at, length);
      const bytes = window ?? new Uint8Array(length);
      const arrived = readCounted(run, source, bytes, extent.offset + at);
      // Observed below through `checked`; until then a failure must not count as unhandled.
      arrived.catch(() => undefined);
      checked = takeIn(checked, arrived, () => {
        checksum.update(bytes);
        if (!window) target.write(at, bytes);
        run.advance(length);
      }).finally(release);
      checked.catch(() => {
        failed = true;
      });
    }
  } finally {
    // Nothing may be written into the target after this function has ended.
    await checked;
  }
  checksum.finish();
}

async function takeIn(before: Promise<void>, arrived: Promise<void>, accept: () => void): Promise<void> {
  const [earlier, now] = await Promise.allSettled([before, arrived]);
  if (earlier.status === "rejected") throw earlier.reason;
  if (now.status === "rejected") throw now.reason;
  accept();
}
