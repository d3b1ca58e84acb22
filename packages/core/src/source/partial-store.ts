/** The partial files of a cache: which one may be continued, which ones are left over. Owners are read from names, so even a half-written state has one. */
import { open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { PartialFile, type PartialState, savePartialState, statePath } from "./partial-file.ts";
import { isDead, ownerOf, processIdentity, uniqueTag } from "./process-identity.ts";

/** Left-overs that nobody can continue are kept this long, in case their owner is alive on a machine we can not see. */
const ORPHAN_MS = 7 * 24 * 3600 * 1000;

/** `<key>.<tag>.part` and everything whose name begins with it. */
interface Leftover {
  readonly path: string;
  /** Names of its files. */
  readonly names: readonly string[];
  /** Null when it was not written yet, or is damaged. */
  readonly state: PartialState | null;
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
  leftovers.sort((one, other) => bytesOf(other) - bytesOf(one));
  let claimed: PartialFile | null = null;
  for (const each of leftovers) {
    if (claimed === null && each.resumable && bytesOf(each) > 0) claimed = await takeOver(directory, key, each);
    await remove(directory, each);
  }
  return claimed ?? PartialFile.create(directory, key);
}

/** Removes what dead processes left for any key and nobody came back for. `maxAgeMs` 0 removes all that is surely dead. Returns the bytes freed. */
export async function sweepPartials(directory: string, maxAgeMs: number = ORPHAN_MS, nowMs: number = Date.now()): Promise<number> {
  let freed = 0;
  for (const each of await listLeftovers(directory, "")) {
    const found = await stat(join(directory, each.names[0] ?? "")).catch(() => undefined);
    const ageMs = nowMs - (found?.mtimeMs ?? nowMs);
    if (ageMs < (each.dead ? maxAgeMs : ORPHAN_MS)) continue;
    freed += (await stat(each.path).catch(() => undefined))?.size ?? 0;
    await remove(directory, each);
  }
  return freed;
}

/** Removes temporary files (`<name>.<tag>.tmp`) of dead processes. */
export async function sweepTemporaries(directory: string): Promise<void> {
  for (const name of await readdir(directory).catch(() => [])) {
    const owner = name.endsWith(".tmp") ? ownerOf(name.slice(0, -".tmp".length).split(".").at(-1) ?? "") : null;
    if (owner !== null && isDead(owner)) await rm(join(directory, name), { force: true }).catch(() => undefined);
  }
}

/** Renaming decides who gets it: of several claimants one finds the name. */
async function takeOver(directory: string, key: string, leftover: Leftover): Promise<PartialFile | null> {
  const state = leftover.state ?? { remote: null, ranges: [], free: false };
  const path = join(directory, `${key}.${uniqueTag()}.part`);
  await savePartialState(path, { ...state, free: false });
  try {
    await rename(leftover.path, path);
    return new PartialFile(path, await open(path, "r+"), state);
  } catch {
    await rm(statePath(path), { force: true });
    return null;
  }
}

async function remove(directory: string, leftover: Leftover): Promise<void> {
  for (const name of leftover.names) await rm(join(directory, name), { force: true }).catch(() => undefined);
}

function bytesOf(leftover: Leftover): number {
  return (leftover.state?.ranges ?? []).reduce((sum, range) => sum + range.end - range.begin, 0);
}

async function listLeftovers(directory: string, prefix: string): Promise<Leftover[]> {
  const groups = new Map<string, string[]>();
  for (const name of await readdir(directory).catch(() => [])) {
    const part = name.startsWith(prefix) ? /^[0-9a-f]+\.[^.]+\.part/.exec(name)?.[0] : undefined;
    if (part !== undefined) groups.set(part, [...(groups.get(part) ?? []), name]);
  }
  return Promise.all([...groups].map(([part, names]) => describe(directory, part, names)));
}

async function describe(directory: string, part: string, names: readonly string[]): Promise<Leftover> {
  const path = join(directory, part);
  const owner = ownerOf(part.split(".")[1] ?? "");
  const state = await readState(path);
  const dead = state?.free === true || (owner !== null && isDead(owner));
  const resumable = dead && state !== null && owner?.boot === processIdentity().boot && rangesAreSane(state);
  return { path, names, state, dead, resumable };
}

async function readState(path: string): Promise<PartialState | null> {
  try {
    return JSON.parse(await readFile(statePath(path), "utf8")) as PartialState;
  } catch {
    return null;
  }
}

function rangesAreSane(state: PartialState): boolean {
  const sizeBytes = state.remote?.sizeBytes ?? 0;
  const { ranges } = state;
  return (
    Array.isArray(ranges) &&
    ranges.every((each) => Number.isSafeInteger(each.begin) && each.begin >= 0 && each.begin < each.end && each.end <= sizeBytes)
  );
}
