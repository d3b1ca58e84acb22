/** Reads one checkpoint in a process of its own and prints by how much memory grew: `node read-hostile.js FILE WARM...`. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { CheckpointError, DEFAULT_LIMITS as limits } from "@rankcast/core";
import { buildManifest, openLocal, readCheckpoint } from "@rankcast/core/internal";
import { readPeakRssBytes } from "@rankcast/core/runtime";

async function read(path: string): Promise<string> {
  const files = await openLocal(path);
  try {
    const manifest = buildManifest(await readCheckpoint(files, { limits }), { limits });
    return `read ${manifest.tensors.length}`;
  } catch (error) {
    if (error instanceof CheckpointError) return error.class;
    throw error;
  } finally {
    await files.close();
  }
}

/** Bytes of a file, or of all files of a directory and below. */
function sizeOf(path: string): number {
  const found = statSync(path);
  return found.isDirectory() ? readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0) : found.size;
}

const [path = "", ...warm] = process.argv.slice(2);
// Code is compiled before anything is measured.
for (const each of warm) await read(each);
const before = process.memoryUsage().rss;
const outcome = await read(path);
const grownBytes = readPeakRssBytes() - before;
process.stdout.write(JSON.stringify({ outcome, grownBytes, fileBytes: sizeOf(path) }));
