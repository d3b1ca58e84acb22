/** Rehearses reading, then reads a byte of every page of a file: run with --trace-wasm-compilation-times. Prints "rehearsed" between. Argument: path. */
import { closeSync, openSync, statSync, writeSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { nativeMemory, rehearsePageReads } from "@rankcast/core/runtime";

/** The other compiler would be done long before. */
const COMPILED_MS = 200;

const [path = ""] = process.argv.slice(2);
const native = nativeMemory(false);
if (!native) throw new Error("nothing can be mapped here");
rehearsePageReads();
await setTimeout(COMPILED_MS);
writeSync(1, "\nrehearsed\n");
const fd = openSync(path, "r");
const { buffer, byteOffset, nbytes } = native.mapPrivate(fd, 0, statSync(path).size);
closeSync(fd);
const bytes = new Uint8Array(buffer, byteOffset, nbytes);
native.populateForReading(bytes);
const sum = native.readPages(bytes);
await setTimeout(COMPILED_MS);
writeSync(1, `\nread ${sum}\n`);
