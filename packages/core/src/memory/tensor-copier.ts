/**
 * Copies many tensors into others at once, large ones with the help of other threads: one processor does not use all of the memory's bandwidth. It stays
 * one synchronous call, so that nothing can change, detach or free the memory meanwhile.
 */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { copyInto } from "../tensor/copy.ts";
import { bytesOf } from "../tensor/dtype.ts";
import { beginByte, type StridedView, startsOnByte } from "../tensor/strided-view.ts";
import { elementCount, isDense, sameShape } from "../tensor/strides.ts";
import { BOARD_RUNS_MAX, CopyBoard, type CopyRun } from "./copy-board.ts";
import type { NativeMemory } from "./native-memory.ts";

/** One tensor and where its values go. */
export interface TensorCopy {
  readonly target: StridedView;
  readonly source: StridedView;
}

/** Below, waking a thread costs about what it saves. */
const SHARED_BYTES_MIN = 8 * 2 ** 20;
/** What a thread takes at a time: 0.1 ms, so that the others wait no longer than that for the last one. */
const RUN_BYTES = 2 ** 20;
/** Smaller tensors cost more to hand over than to copy. */
const TENSOR_BYTES_MIN = 2 ** 16;
/** Four copying threads saturate the memory of the machines we know. */
const HELPERS_MAX = 3;

/** See the module comment. */
export class TensorCopier {
  readonly #native: NativeMemory | null;
  readonly #helpersMax: number;
  #board: CopyBoard | null = null;

  /** `helpersMax` counts threads beside the caller's. They start with the first copy that is worth it. Without the kernel door there are none. */
  constructor(native: NativeMemory | null, helpersMax = Math.min(HELPERS_MAX, availableParallelism() - 1)) {
    this.#native = native;
    this.#helpersMax = helpersMax;
  }

  /** Writes every source into its target, all of which are apart from each other. @throws {TensorError} as `copyInto`; what was written stays. */
  copy(copies: readonly TensorCopy[]): void {
    const native = this.#helpersMax > 0 ? this.#native : null;
    const shared = new Set(native ? copies.filter(isWorthSharing) : []);
    if (native && [...shared].reduce((sum, { source }) => sum + nbytesOf(source), 0) >= SHARED_BYTES_MIN) {
      this.#together(
        [...shared].flatMap((copy) => cutRuns(copy, native)),
        native,
      );
    } else {
      shared.clear();
    }
    for (const copy of copies) if (!shared.has(copy)) copyInto(copy.target, copy.source);
  }

  /** Ends the helpers. A later copy starts new ones. */
  close(): void {
    this.#board?.close();
    this.#board = null;
  }

  #together(runs: readonly CopyRun[], native: NativeMemory): void {
    this.#board ??= startBoard(this.#helpersMax);
    for (let begin = 0; begin < runs.length; begin += BOARD_RUNS_MAX) {
      this.#board.copy(runs.slice(begin, begin + BOARD_RUNS_MAX), native.copyBytes);
    }
  }
}

/** A thread that does not come up is not missed: what it does not take others do. */
function startBoard(helpers: number): CopyBoard {
  const board = new CopyBoard();
  for (let helper = 0; helper < helpers; helper += 1) {
    const worker = new Worker(new URL("./copy-thread.js", import.meta.url), {
      workerData: board.memory,
      env: {},
      execArgv: [],
      name: "rankcast-copy",
    });
    worker.unref();
    worker.on("error", () => undefined);
  }
  return board;
}

/** Whether the bytes of both sides are the same in one piece, in buffers of their own, and many. */
function isWorthSharing({ target, source }: TensorCopy): boolean {
  return (
    nbytesOf(source) >= TENSOR_BYTES_MIN &&
    target.dtype === source.dtype &&
    sameShape(target.shape, source.shape) &&
    source.storage.buffer !== null &&
    target.storage.buffer !== null &&
    source.storage.buffer !== target.storage.buffer &&
    isDense(source.shape, source.stride) &&
    source.stride.every((step, axis) => step === target.stride[axis] || source.shape[axis] === 1) &&
    [target, source].every((side) => !side.conj && !side.neg && startsOnByte(side))
  );
}

/** The bytes in pieces. Views of both sides prove for each that it lies in its buffer, which may be a resizable one. */
function cutRuns({ target, source }: TensorCopy, native: NativeMemory): CopyRun[] {
  const nbytes = nbytesOf(source);
  return Array.from({ length: Math.ceil(nbytes / RUN_BYTES) }, (_, index) => {
    const begin = index * RUN_BYTES;
    const length = Math.min(RUN_BYTES, nbytes - begin);
    const addressOf = (side: StridedView): bigint => native.addressOf(side.storage.bytes(beginByte(side) + begin, length));
    return { target: addressOf(target), source: addressOf(source), nbytes: length };
  });
}

function nbytesOf({ dtype, shape }: StridedView): number {
  return bytesOf(dtype, elementCount(shape));
}
