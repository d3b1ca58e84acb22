/** The newest complete checkpoint of a folder that a training loop fills. */

import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { type CheckpointError, SourceError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { requireArgument, TEXT } from "../errors/require-options.ts";
import { COMPANION, discoverEntry, PART } from "../format/discover-entry.ts";
import { resolveLocalPath } from "../source/local-path.ts";
import { cutOffFault } from "./cut-off-fault.ts";

/** A checkpoint that was found. */
export interface FoundCheckpoint {
  /** File or folder, as a load takes it. */
  readonly path: string;
  /** The last number in its name; null when it has none. */
  readonly step: number | null;
  /** Changes whenever the checkpoint of this name is replaced. */
  readonly identity: string;
}

/** One that would be the newest, and is not whole: it ends too early, or files that it names are not there. */
export interface IncompleteCheckpoint {
  readonly weights: string;
  /** Changes as long as somebody writes it. */
  readonly identity: string;
  readonly cause: CheckpointError;
}

/** DeepSpeed and several trainers name the newest entry in such a file. */
const POINTER = "latest";
const POINTER_BYTES_MAX = 4096;
const ENTRIES_MAX = 100_000;
const CHECKPOINT_FILE = /\.(safetensors|pt|pth|bin|ckpt|pkl|gguf|npz)$/i;
/** What belongs to a folder that is one checkpoint. */
const MEMBER_FILE = /\.(safetensors|pt|pth|bin|ckpt|pkl|gguf|npz|npy|distcp|metadata)$|\.index(\.[\w-]+)?\.json$|^model\.json$|^latest$/i;
/** Names of files and folders that are still being written: ours, Python libraries', and hidden ones. */
const UNFINISHED = /^\.|\.(tmp|temp|partial|part|incomplete|lock)$/i;

/**
 * Looks at one folder, not below it. A file `latest` decides when it names an entry; else the highest last number in a name (`step-20.safetensors`,
 * `checkpoint-500/`), else the newest modification time. Entries that are not complete do not count: temporary names, folders without an index or
 * a single model file, files that end before their own structure does. Nor do shards and what trainers write beside weights (`optimizer.pt`): they
 * are parts of a checkpoint that the folder is itself. Null for an empty or absent folder.
 * @throws {SourceError} RANKCAST_FILE_UNREADABLE when the folder cannot be read.
 */
export async function findLatestCheckpoint(directory: string): Promise<FoundCheckpoint | null> {
  requireArgument("directory", directory, TEXT);
  return newestComplete(resolveLocalPath(directory), () => undefined);
}

/** The same; tells of entries that would be newer and are not whole, the newest first. @throws as `findLatestCheckpoint`. */
export async function newestComplete(
  directory: string,
  onIncomplete: (found: IncompleteCheckpoint) => void,
): Promise<FoundCheckpoint | null> {
  const names = await namesIn(directory);
  const pointed = await pointedName(directory, names);
  const found: { readonly checkpoint: FoundCheckpoint; readonly mtimeMs: number }[] = [];
  for (const name of pointed === null ? names : [pointed]) {
    const entry = await examine(directory, name);
    if (entry) found.push(entry);
  }
  const step = ({ checkpoint }: (typeof found)[number]): number => checkpoint.step ?? -1;
  found.sort((a, b) => step(b) - step(a) || b.mtimeMs - a.mtimeMs);
  for (const { checkpoint } of found) {
    const { path, identity } = checkpoint;
    const fault = await cutOffFault(path, identity);
    if (fault === null) return checkpoint;
    onIncomplete({ weights: path, identity, cause: fault });
  }
  return null;
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    const names = await readdir(directory);
    return names.filter((name) => !UNFINISHED.test(name)).slice(0, ENTRIES_MAX);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw new SourceError("RANKCAST_FILE_UNREADABLE", `the folder ${quote(directory)} cannot be read`, { details: { directory }, cause });
  }
}

async function pointedName(directory: string, names: readonly string[]): Promise<string | null> {
  if (!names.includes(POINTER)) return null;
  const path = join(directory, POINTER);
  const facts = await stat(path).catch(() => null);
  if (!facts?.isFile() || facts.size > POINTER_BYTES_MAX) return null;
  // One name of this folder, whatever the file says: it may not lead elsewhere.
  const name = basename((await readFile(path, "utf8")).trim());
  return names.includes(name) && name !== POINTER ? name : null;
}

async function examine(directory: string, name: string): Promise<{ checkpoint: FoundCheckpoint; mtimeMs: number } | null> {
  const path = join(directory, name);
  const facts = await stat(path).catch(() => null);
  if (!facts) return null;
  let members: readonly string[] | null = null;
  if (facts.isDirectory()) members = await membersOf(path);
  else if (isCheckpointFile(name)) members = [];
  if (members === null) return null;
  const last = /(\d+)(?!.*\d)/.exec(name.replace(CHECKPOINT_FILE, ""))?.[1];
  const step = last === undefined ? null : Number(last);
  // A file in a folder that is written in place, or cut, leaves the folder's own facts as they are.
  const identity = [name, ...(members.length > 0 ? members : [facts.size, facts.mtimeMs, facts.ino])].join(" ");
  return { checkpoint: { path, step: step !== null && Number.isSafeInteger(step) ? step : null, identity }, mtimeMs: facts.mtimeMs };
}

const isCheckpointFile = (name: string): boolean => CHECKPOINT_FILE.test(name) && !COMPANION.test(name) && !PART.test(name);

/** Of a folder that is one checkpoint, its files that matter and their facts; null when it is none, or none yet. */
async function membersOf(path: string): Promise<string[] | null> {
  try {
    const names = (await readdir(path)).sort();
    discoverEntry(names, path);
    const members = names.filter((name) => MEMBER_FILE.test(name) && !COMPANION.test(name));
    return await Promise.all(
      members.map(async (name) => {
        const { size, mtimeMs, ino } = await stat(join(path, name));
        return `${name} ${size} ${mtimeMs} ${ino}`;
      }),
    );
  } catch {
    return null;
  }
}
