/** The newest complete checkpoint of a folder that a training loop fills. */

import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { SourceError } from "../errors/checkpoint-error.ts";
import { quote } from "../errors/quote.ts";
import { requireArgument, TEXT } from "../errors/require-options.ts";
import { discoverEntry } from "../format/discover-entry.ts";

/** A checkpoint that was found. */
export interface FoundCheckpoint {
  /** File or folder, as a load takes it. */
  readonly path: string;
  /** The last number in its name; null when it has none. */
  readonly step: number | null;
  /** Changes whenever the checkpoint of this name is replaced. */
  readonly identity: string;
}

/** DeepSpeed and several trainers name the newest entry in such a file. */
const POINTER = "latest";
const POINTER_BYTES_MAX = 4096;
const ENTRIES_MAX = 100_000;
const CHECKPOINT_FILE = /\.(safetensors|pt|pth|bin|ckpt|pkl|gguf|npz)$/i;
/** Names of files and folders that are still being written: ours, Python libraries', and hidden ones. */
const UNFINISHED = /^\.|\.(tmp|temp|partial|part|incomplete|lock)$/i;

/**
 * Looks at one folder, not below it. A file `latest` decides when it names an entry; else the highest last number in a name (`step-20.safetensors`,
 * `checkpoint-500/`), else the newest modification time. Entries that are still being written (temporary names, folders without an index or
 * a single model file) do not count. Null for an empty or absent folder.
 * @throws {SourceError} RANKCAST_FILE_UNREADABLE when the folder cannot be read.
 */
export async function findLatestCheckpoint(directory: string): Promise<FoundCheckpoint | null> {
  requireArgument("directory", directory, TEXT);
  const names = await namesIn(directory);
  const pointed = await pointedName(directory, names);
  const found: { readonly checkpoint: FoundCheckpoint; readonly mtimeMs: number }[] = [];
  for (const name of pointed === null ? names : [pointed]) {
    const entry = await examine(directory, name);
    if (entry) found.push(entry);
  }
  const step = ({ checkpoint }: (typeof found)[number]): number => checkpoint.step ?? -1;
  found.sort((a, b) => step(b) - step(a) || b.mtimeMs - a.mtimeMs);
  return found[0]?.checkpoint ?? null;
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
  if (facts.isDirectory() ? !(await isComplete(path)) : !CHECKPOINT_FILE.test(name)) return null;
  const last = /(\d+)(?!.*\d)/.exec(name.replace(CHECKPOINT_FILE, ""))?.[1];
  const step = last === undefined ? null : Number(last);
  const identity = [name, facts.size, facts.mtimeMs, facts.ino].join(" ");
  return { checkpoint: { path, step: step !== null && Number.isSafeInteger(step) ? step : null, identity }, mtimeMs: facts.mtimeMs };
}

async function isComplete(path: string): Promise<boolean> {
  try {
    discoverEntry((await readdir(path)).sort(), path);
    return true;
  } catch {
    return false;
  }
}
