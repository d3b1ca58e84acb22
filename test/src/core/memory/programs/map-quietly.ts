/**
 * Maps a file of any size twice, as a load maps two segments, reads a byte of every page of the first, and settles: run with --trace-gc. Prints "settling"
 * before the last. Arguments: path; "unmapped" to unmap both before that.
 */
import { closeSync, openSync, statSync, writeSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { nativeMemory } from "@rankcast/core/runtime";

const PAGE_BYTES = 4096;
const [path = "", order = ""] = process.argv.slice(2);
const native = nativeMemory(false);
if (!native) throw new Error("nothing can be mapped here");
const fd = openSync(path, "r");
const { buffer, byteOffset, nbytes } = native.mapPrivate(fd, 0, statSync(path).size);
const second = native.mapPrivate(fd, 0, nbytes);
closeSync(fd);
const bytes = new Uint8Array(buffer, byteOffset, nbytes);
let sum = 0;
for (let at = 0; at < nbytes; at += PAGE_BYTES) sum += bytes[at] ?? 0;
// A collection that had been started would be over by then.
await setTimeout(200);
if (order === "unmapped") for (const each of [buffer, second.buffer]) native.unmap(each);
writeSync(1, `settling ${sum}\n`);
native.settle();
for (let turn = 0; turn < 20; turn += 1) {
  await setTimeout(20);
  // Something has to be allocated for a collection to make steps.
  sum += new Array(10_000).fill(turn).length;
}
writeSync(1, `shows ${bytes[0] ?? -1}\n`);
writeSync(1, `beside it ${new Uint8Array(second.buffer, second.byteOffset, 1)[0] ?? -1}\n`);
native.unmap(buffer);
writeSync(1, `unmapped ${bytes[0] ?? -1}\n`);
