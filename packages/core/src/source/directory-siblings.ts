/** The files of one local directory, as the parts of a checkpoint. */
import type { Dirent } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { SourceError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import type { ByteSource, Siblings } from "./byte-source.ts";
import { type OpenFileOptions, openFile, unreadable } from "./file-source.ts";

/**
 * The files of `directory` and of its direct subdirectories. Symbolic links are followed (the Hugging Face cache consists of them);
 * names are not trusted and cannot leave the directory by their text. A file opened twice is one source.
 */
export function directorySiblings(directory: string, options: OpenFileOptions = {}): Siblings {
  const opened = new Map<string, Promise<ByteSource>>();
  return {
    list: () => listFiles(directory),
    async open(name) {
      refuseUnsafeName(name, directory);
      const present = opened.get(name) ?? openFile(join(directory, name), options);
      opened.set(name, present);
      // A failure is not kept: the file may appear later.
      return present.catch((error: unknown) => {
        opened.delete(name);
        throw error;
      });
    },
    async close() {
      const sources = [...opened.values()];
      opened.clear();
      await Promise.all(sources.map(async (source) => (await source.catch(() => undefined))?.close()));
    },
  };
}

/** Siblings of a source that has none. @throws {SourceError} RANKCAST_NOT_FOUND from every `open`. */
export function noSiblings(of: string): Siblings {
  return {
    list: async () => [],
    async open(name) {
      throw new SourceError("RANKCAST_NOT_FOUND", `${quote(of)} has no file ${quote(name)} beside it`, { details: { file: name, of } });
    },
    async close() {},
  };
}

/**
 * Refuses a name that is not a plain relative path below its directory.
 * @throws {SourceError} RANKCAST_SIBLING_PATH for empty names, absolute ones, `..`, `.` and empty segments, backslashes, colons after a drive letter, and NUL.
 */
export function refuseUnsafeName(name: string, directory: string): void {
  const segments = name.split("/");
  const unsafe = /[\\\0]/.test(name) || /^[A-Za-z]:/.test(name) || segments.some((each) => each === "" || each === "." || each === "..");
  if (!unsafe) return;
  throw new SourceError("RANKCAST_SIBLING_PATH", `${quote(name)} is no plain relative path below ${quote(directory)}`, {
    details: { file: name, directory },
  });
}

async function listFiles(directory: string): Promise<readonly string[]> {
  const entries = await readEntries(directory);
  const names = await Promise.all(
    entries.map(async (entry) => {
      const kind = await kindOf(directory, entry);
      if (kind === "file") return [entry.name];
      if (kind !== "directory") return [];
      const below = join(directory, entry.name);
      const inner = await readEntries(below).catch(ignoreClosed);
      const kinds = await Promise.all(inner.map((each) => kindOf(below, each)));
      return inner.filter((_, index) => kinds[index] === "file").map((each) => `${entry.name}/${each.name}`);
    }),
  );
  return names.flat().sort();
}

async function readEntries(directory: string): Promise<Dirent[]> {
  return readdir(directory, { withFileTypes: true }).catch((error: unknown) => unreadable(directory, error));
}

/** A folder that is closed to us, or has gone since, has no file that could be opened; the others still have. */
function ignoreClosed(error: unknown): Dirent[] {
  if (error instanceof SourceError && CLOSED.has(String(error.details["systemError"]))) return [];
  throw error;
}

const CLOSED = new Set(["EACCES", "EPERM", "ENOENT", "ENOTDIR"]);

async function kindOf(directory: string, entry: Dirent): Promise<"file" | "directory" | "other"> {
  if (entry.isFile()) return "file";
  if (entry.isDirectory()) return "directory";
  if (!entry.isSymbolicLink()) return "other";
  const target = await stat(join(directory, entry.name)).catch(() => undefined);
  if (target?.isFile()) return "file";
  return target?.isDirectory() ? "directory" : "other";
}
