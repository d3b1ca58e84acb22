/** The partial files of a cache: which one may be continued, which ones are left over. */
import { open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { PartialFile, type PartialState, savePartialState, statePath } from "./partial-file.ts";
import { isDead, processIdentity, uniqueTag } from "./process-identity.ts";

/** Left-overs that nobody can continue are kept this long, in case their owner is alive on a machine we can not see. */
const ORPHAN_MS = 7 * 24 * 3600 * 1000;

interface Leftover {
  readonly path: string;
  readonly state: PartialState;
  /** Nobody writes it any more, for certain. */
  readonly dead: boolean;
  /** Its bytes can be believed. */
  readonly resumable: boolean;
}

/**
 * The partial file to write for `key`: an interrupted one when there is one that surely nobody writes any more, else a new one. Other left-overs
 * of the same key are removed.
 * @throws {SourceError} RANKCAST_CACHE_WRITE, RANKCAST_DISK_FULL.
 */
export async function claimPartial(directory: string, key: string): Promise<PartialFile> {
  const leftovers = (await listLeftovers(directory, `${key}.`)).filter((each) => each.dead);
  const bytesOf = (each: Leftover): number => each.state.ranges.reduce((sum, range) => sum + range.end - range.begin, 0);
  leftovers.sort((one, other) => bytesOf(other) - bytesOf(one));
  let claimed: PartialFile | null = null;
  for (const each of leftovers) {
    if (claimed === null && each.resumable && bytesOf(each) > 0) claimed = await takeOver(directory, key, each);
    if (claimed === null || claimed.path !== each.path) await remove(each.path);
  }
  return claimed ?? PartialFile.create(directory, key);
}

/** Removes what dead processes left for any key and nobody came back for. `maxAgeMs` 0 removes all that is surely dead. Returns the bytes freed. */
export async function sweepPartials(directory: string, maxAgeMs: number = ORPHAN_MS, nowMs: number = Date.now()): Promise<number> {
  let freed = 0;
  for (const each of await listLeftovers(directory, "")) {
    const found = await stat(each.path).catch(() => undefined);
    const writtenMs = (found ?? (await stat(statePath(each.path)).catch(() => undefined)))?.mtimeMs ?? nowMs;
    if (nowMs - writtenMs < (each.dead ? maxAgeMs : ORPHAN_MS)) continue;
    freed += found?.size ?? 0;
    await remove(each.path);
  }
  return freed;
}

/** Renaming decides who gets it: of several claimants one finds the name. */
async function takeOver(directory: string, key: string, leftover: Leftover): Promise<PartialFile | null> {
  const path = join(directory, `${key}.${uniqueTag()}.part`);
  await savePartialState(path, { ...leftover.state, owner: processIdentity(), free: false });
  try {
    await rename(leftover.path, path);
    return new PartialFile(path, await open(path, "r+"), leftover.state);
  } catch {
    await rm(statePath(path), { force: true });
    return null;
  }
}

async function remove(path: string): Promise<void> {
  await rm(path, { force: true }).catch(() => undefined);
  await rm(statePath(path), { force: true }).catch(() => undefined);
}

async function listLeftovers(directory: string, prefix: string): Promise<Leftover[]> {
  const names = await readdir(directory).catch(() => []);
  const states = names.filter((name) => name.startsWith(prefix) && name.endsWith(".part.json"));
  const leftovers = await Promise.all(states.map((name) => readLeftover(join(directory, name.slice(0, -".json".length)))));
  return leftovers.filter((each) => each !== null);
}

async function readLeftover(path: string): Promise<Leftover | null> {
  const text = await readFile(statePath(path), "utf8").catch(() => undefined);
  if (text === undefined) return null;
  try {
    const state = JSON.parse(text) as PartialState;
    const dead = state.free === true || isDead(state.owner);
    return { path, state, dead, resumable: dead && state.owner.boot === processIdentity().boot && rangesAreSane(state) };
  } catch {
    // Not ours, or from another version: left alone until it is old.
    return { path, state: { remote: null, ranges: [], owner: processIdentity(), free: false }, dead: false, resumable: false };
  }
}

function rangesAreSane(state: PartialState): boolean {
  const sizeBytes = state.remote?.sizeBytes ?? 0;
  return state.ranges.every(
    (each) => Number.isSafeInteger(each.begin) && each.begin >= 0 && each.begin < each.end && each.end <= sizeBytes,
  );
}
