/**
 * A thread that helps at a board whose runs are only counted: `target` is the number of a run, `done` counts who has had it, `taken` how many
 * were begun here. Its first run is a slow one.
 */
import { workerData } from "node:worker_threads";
import { CopyBoard } from "@rankcast/core/internal";

const { board, done, taken } = workerData as Record<"board" | "done" | "taken", SharedArrayBuffer>;
const counts = new Int32Array(done ?? new SharedArrayBuffer(4));
const begun = new Int32Array(taken ?? new SharedArrayBuffer(4));
const never = new Int32Array(new SharedArrayBuffer(4));
let slowMs = 100;
new CopyBoard(board).help((target) => {
  Atomics.add(begun, 0, 1);
  Atomics.notify(begun, 0);
  if (slowMs > 0) Atomics.wait(never, 0, 0, slowMs);
  slowMs = 0;
  Atomics.add(counts, Number(target), 1);
});
