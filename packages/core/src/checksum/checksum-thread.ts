/** A thread that computes CRC-32 of what is posted to it, with others. */
import { parentPort } from "node:worker_threads";
import { type ChecksumBoard, createChecksumBoard, takeBatch } from "./checksum-board.ts";
import { prepareCrc32 } from "./crc32.ts";

const REHEARSED_BYTES = 4096;

// Before anybody waits: the first of everything takes several times as long as the second.
prepareCrc32();
const rehearsed = { buffer: new SharedArrayBuffer(REHEARSED_BYTES), byteOffset: 0, nbytes: REHEARSED_BYTES };
takeBatch(createChecksumBoard([rehearsed]));
parentPort?.on("message", (board: ChecksumBoard) => {
  while (takeBatch(board));
  parentPort?.postMessage("done");
});
parentPort?.postMessage("ready");
