/**
 * A lock for platforms without abstract sockets: a file that names its holder by pid, start time and boot. It is looked at twice a second; a holder that
 * is dead for certain, or has not touched the file for `idleMs`, is passed over.
 */
import { open, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type CacheLock, type LockRequest, unlocked } from "./cache-lock.ts";
import { CREATE_FLAGS, makePrivateDirectory, writeError } from "./durable-file.ts";
import { isDead, type ProcessIdentity, processIdentity, uniqueTag } from "./process-identity.ts";

const POLL_MS = 100;
const HEARTBEAT_MS = 1_000;

interface LockText {
  readonly tag: string;
  readonly owner: ProcessIdentity;
}

/**
 * Creates the lock file of the key, or waits until it is gone.
 * @throws {SourceError} RANKCAST_CACHE_WRITE; the reason of an aborted signal.
 */
export async function acquireLockFile(request: LockRequest): Promise<CacheLock> {
  const directory = join(request.root, "locks");
  const path = join(directory, `${request.key}.lock`);
  await makePrivateDirectory(directory);
  for (let waited = false; ; waited = true) {
    request.signal?.throwIfAborted();
    const tag = uniqueTag();
    if (await create(path, { tag, owner: processIdentity() })) return held(path, tag, waited);
    const state = await lookAt(path, request.idleMs);
    if (state === "stuck") return unlocked();
    if (state === "dead") await removeDead(path);
    if (state !== "alive") continue;
    request.onWait?.({ bytesDone: null, bytesTotal: null });
    await sleep(POLL_MS, undefined, request.signal ? { signal: request.signal } : {});
  }
}

function held(path: string, tag: string, waited: boolean): CacheLock {
  const heartbeat = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => undefined);
  }, HEARTBEAT_MS).unref();
  return {
    waited,
    tell: () => undefined,
    async release() {
      clearInterval(heartbeat);
      // Only our own: the file may have been passed over and belong to somebody else.
      if ((await readLock(path))?.tag === tag) await rm(path, { force: true });
    },
  };
}

async function create(path: string, text: LockText): Promise<boolean> {
  try {
    const handle = await open(path, CREATE_FLAGS, 0o600);
    try {
      await handle.writeFile(JSON.stringify(text));
    } finally {
      await handle.close();
    }
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw writeError(path, error);
  }
}

async function lookAt(path: string, idleMs: number): Promise<"alive" | "dead" | "stuck" | "gone"> {
  const found = await stat(path).catch(() => null);
  if (found === null) return "gone";
  const text = await readLock(path);
  if (text !== null && isDead(text.owner)) return "dead";
  return Date.now() - found.mtimeMs > idleMs ? "stuck" : "alive";
}

/** Renaming first: of two who found the same dead holder one gets the file, and a new lock that appeared meanwhile is put back. */
async function removeDead(path: string): Promise<void> {
  const aside = `${path}.${uniqueTag()}.dead`;
  if (
    !(await rename(path, aside).then(
      () => true,
      () => false,
    ))
  )
    return;
  const text = await readLock(aside);
  if (text === null || isDead(text.owner)) await rm(aside, { force: true });
  else await rename(aside, path).catch(() => undefined);
}

async function readLock(path: string): Promise<LockText | null> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as LockText;
  } catch {
    return null;
  }
}
