/**
 * Owning a meeting directory. It goes away with its owner: in order when the owner leaves, by a tiny process that notices the owner's death (the
 * kernel closes its standard input even after SIGKILL), and should that one be killed as well, by the next owner of any such directory.
 */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { isAlive, isDead, ownerOf, type ProcessIdentity, uniqueTag } from "../source/process-identity.ts";
import { makeMeetingDirectory } from "./meeting-directory.ts";

const SHELL = "/bin/sh";
/** `$1` is the directory, `$2` its owner's file: a successor that has taken the directory over keeps it. A line of input says that all is in order. */
const SCRIPT = `
trap '' HUP INT QUIT TERM
read -r done && exit 0
[ -e "$1/$2" ] && rm -rf -- "$1"
exit 0
`;

const OWNER_PREFIX = "owner-";

/** A directory that is this process's. */
export interface OwnedDirectory {
  readonly path: string;
  /** Removes it, unless somebody else has taken it over. Safe to call twice. */
  leave(): void;
}

/**
 * Makes the directory at a `meetingPath`, or takes it over: what an earlier, killed job left in it is not ours to trust.
 * @throws {UsageError} RANKCAST_USAGE when it belongs to another user or cannot be made.
 */
export function ownDirectory(path: string): OwnedDirectory {
  makeMeetingDirectory(path);
  for (const name of readdirSync(path)) rmSync(join(path, name), { recursive: true, force: true });
  const owner = markOwner(path);
  reapAbandoned(dirname(path));
  const letGo = startWarden(path, owner);
  return {
    path,
    leave() {
      if (existsSync(join(path, owner))) rmSync(path, { recursive: true, force: true });
      letGo();
    },
  };
}

/** Says that a directory is this process's, to whoever looks with `ownerTagIn`; gives the name of the file that says so. */
export function markOwner(path: string): string {
  const owner = `${OWNER_PREFIX}${uniqueTag()}`;
  writeFileSync(join(path, owner), "", { mode: 0o600 });
  return owner;
}

/** The tag of the process that owns a directory; null when there is none, or no directory. */
export function ownerTagIn(path: string): string | null {
  try {
    const file = readdirSync(path).find((each) => each.startsWith(OWNER_PREFIX));
    return file === undefined ? null : file.slice(OWNER_PREFIX.length);
  } catch {
    return null;
  }
}

/** Whether what lies in a directory is a dead process's: nobody stands behind it. False when it can not be told. */
export function isAbandoned(path: string): boolean {
  const owner = ownerIn(path);
  return owner !== null && isDead(owner);
}

/** The process of this machine, other than this one, that owns a directory and lives for certain; null when there is none, or no directory. */
export function livingOwner(path: string): number | null {
  const owner = ownerIn(path);
  return owner !== null && owner.pid !== process.pid && isAlive(owner) ? owner.pid : null;
}

function ownerIn(path: string): ProcessIdentity | null {
  const tag = ownerTagIn(path);
  return tag === null ? null : ownerOf(tag);
}

/** Removes directories whose owner is gone for certain; those of other machines, or not owned yet, stay. */
function reapAbandoned(base: string): void {
  for (const name of readdirSync(base)) {
    const directory = join(base, name);
    try {
      if (isAbandoned(directory)) rmSync(directory, { recursive: true, force: true });
    } catch {
      // No directory, or somebody else removes it at the same time.
    }
  }
}

/** Starts the process that outlives this one by a moment; the returned function tells it that it is not needed any more. */
function startWarden(directory: string, owner: string): () => void {
  if (!existsSync(SHELL)) return () => undefined;
  const child = spawn(SHELL, ["-c", SCRIPT, "rankcast-warden", directory, owner], {
    detached: true,
    cwd: "/",
    stdio: ["pipe", "ignore", "ignore"],
  });
  // Losing it is no reason to stop a job: the next owner tidies up.
  child.on("error", () => undefined);
  child.stdin?.on("error", () => undefined);
  child.unref();
  (child.stdin as (NodeJS.WritableStream & { unref?(): void }) | null)?.unref?.();
  return () => void child.stdin?.end("done\n");
}
