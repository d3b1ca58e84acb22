/** Where processes of one job and one user meet on a machine: a private directory whose path follows from what they all know. */
import { createHash } from "node:crypto";
import { type Stats, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { UsageError } from "../errors/checkpoint-error.ts";
import { makeDirectories } from "../source/make-directories.ts";

/** A name for a directory from parts that all processes know; short, because a unix socket's path has at most 107 bytes. */
export function meetingName(parts: readonly (string | number)[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 16);
}

/** The path of the directory `name`, which may not be there. `runtimeDirectory` is `XDG_RUNTIME_DIR`. */
export function meetingPath(runtimeDirectory: string | undefined, name: string): string {
  return join(runtimeDirectory ?? tmpdir(), `rankcast-${process.getuid?.() ?? "user"}`, name);
}

/**
 * Makes the directory at a `meetingPath` where it is missing, so that only this user can enter it.
 * @throws {UsageError} RANKCAST_USAGE when it, or the one above, belongs to somebody else or cannot be made.
 */
export function makeMeetingDirectory(path: string): void {
  makePrivateBase(path);
  makePrivate(path);
}

/**
 * Makes what lies above a `meetingPath`, where directories come and go.
 * @throws {UsageError} RANKCAST_USAGE as `makeMeetingDirectory`.
 */
export function makePrivateBase(path: string): void {
  makePrivate(dirname(path));
}

/**
 * Whether the directory at a `meetingPath` is there. Looking makes nothing.
 * @throws {UsageError} RANKCAST_USAGE when it, or the one above, belongs to somebody else: what it holds could be anybody's.
 */
export function isMeetingDirectory(path: string): boolean {
  return [dirname(path), path].every((each) => {
    const stat = statSync(each, { throwIfNoEntry: false });
    if (stat) requirePrivate(each, stat);
    return stat !== undefined;
  });
}

function makePrivate(path: string): void {
  try {
    makeDirectories(path, 0o700);
  } catch (cause) {
    throw refusal(path, `cannot be made (${(cause as NodeJS.ErrnoException).code})`, cause);
  }
  requirePrivate(path, statSync(path));
}

function requirePrivate(path: string, stat: Stats): void {
  if (!process.getuid || (stat.uid === process.getuid() && (stat.mode & 0o077) === 0)) return;
  throw refusal(path, "belongs to somebody else or may be entered by others");
}

function refusal(path: string, what: string, cause?: unknown): UsageError {
  return new UsageError("RANKCAST_USAGE", `${path} ${what}`, { remedy: "Set XDG_RUNTIME_DIR to a private directory.", cause });
}
