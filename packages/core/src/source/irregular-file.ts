/** What is at a path when it is no regular file, and why nothing is read from it. */
import type { Stats } from "node:fs";
import { SourceError } from "../errors/checkpoint-error.ts";
import { printable } from "../errors/quote.ts";

interface Kind {
  readonly name: string;
  readonly remedy: string;
}

const STREAM = "Write what it gives into a file first (`cat PATH > model.pt`): weights are read at any place, and more than once.";
const DIRECTORY: Kind = { name: "a directory", remedy: "Name the file inside it." };
const OTHER: Kind = { name: "something else", remedy: "Pass a regular file or a directory." };

/** The error of a path with something else than a regular file: a pipe cannot be read twice, and a device may never end. */
export function irregular(path: string, found: Stats): SourceError {
  const { name, remedy } = kindOf(found);
  return new SourceError("RANKCAST_FILE_KIND", `${printable(path)} can not be found as a regular file: it is ${name}`, {
    details: { file: path, expected: "a regular file", found: name },
    remedy,
  });
}

function kindOf(found: Stats): Kind {
  if (found.isFIFO()) return { name: "a FIFO (named pipe)", remedy: STREAM };
  if (found.isSocket()) return { name: "a socket", remedy: STREAM };
  if (found.isCharacterDevice()) return { name: "a character device", remedy: STREAM };
  if (found.isBlockDevice()) return { name: "a block device", remedy: STREAM };
  return found.isDirectory() ? DIRECTORY : OTHER;
}
