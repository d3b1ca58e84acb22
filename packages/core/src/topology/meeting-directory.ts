/** Where processes of one job and one user meet on a machine: a private directory whose path follows from what they all know. */
import { createHash } from "node:crypto";
import { mkdirSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UsageError } from "../errors/checkpoint-error.ts";

/** A name for a directory from parts that all processes know; short, because a unix socket's path has at most 107 bytes. */
export function meetingName(parts: readonly (string | number)[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 16);
}

/**
 * The directory `name`, made where it is missing, that only this user can enter. `runtimeDirectory` is `XDG_RUNTIME_DIR`.
 * @throws {UsageError} RANKCAST_USAGE when it belongs to somebody else.
 */
export function meetingDirectory(runtimeDirectory: string | undefined, name: string): string {
  const base = join(runtimeDirectory ?? tmpdir(), `rankcast-${process.getuid?.() ?? "user"}`);
  for (const path of [base, join(base, name)]) {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const stat = statSync(path);
    if (process.getuid && (stat.uid !== process.getuid() || (stat.mode & 0o077) !== 0)) {
      throw new UsageError("RANKCAST_USAGE", `${path} belongs to somebody else or may be entered by others`, {
        remedy: "Set XDG_RUNTIME_DIR to a private directory.",
      });
    }
  }
  return join(base, name);
}
