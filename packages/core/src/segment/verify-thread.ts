/** A thread that checks its share of a checkpoint's checksums. */
import { parentPort, workerData } from "node:worker_threads";
import { toErrorRecord } from "../errors/error-record.ts";
import { nativeMemory } from "../memory/native-memory.ts";
import type { VerifyAnswer } from "./verify-segments.ts";
import { type VerifyShare, verifyShare } from "./verify-share.ts";

let answer: VerifyAnswer;
try {
  answer = { stats: await verifyShare(workerData as VerifyShare, nativeMemory(false), {}) };
} catch (error) {
  answer = { error: toErrorRecord(error) };
}
parentPort?.postMessage(answer);
