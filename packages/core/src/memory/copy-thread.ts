/** A thread that helps to copy until it is told that nothing comes any more. */
import { workerData } from "node:worker_threads";
import { CopyBoard } from "./copy-board.ts";
import { nativeMemory } from "./native-memory.ts";

const native = nativeMemory(false);
if (native) new CopyBoard(workerData as SharedArrayBuffer).help(native.copyBytes);
