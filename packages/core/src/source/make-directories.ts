/** Directories with their parents. */
import { existsSync, mkdirSync, statSync } from "node:fs";
import { constants } from "node:os";
import { dirname, resolve } from "node:path";

/**
 * Makes `path` and what is missing above it. Node's own recursive `mkdir` must not be used on paths of users: it asks for the parent again whenever
 * the system says ENOENT, and below /proc the system says that of parents that are there, so it never returns.
 * @throws the system's error of the first directory that cannot be made; ENOTDIR when `path` is something else.
 */
export function makeDirectories(path: string, mode = 0o777): void {
  const missing: string[] = [];
  for (let each = resolve(path); !existsSync(each) && each !== dirname(each); each = dirname(each)) missing.push(each);
  for (const each of missing.reverse()) {
    try {
      mkdirSync(each, { mode });
    } catch (error) {
      // Somebody else made it, or it was there and could not be seen.
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
  if (statSync(path).isDirectory()) return;
  const facts = { code: "ENOTDIR", errno: -constants.errno.ENOTDIR, syscall: "mkdir", path };
  throw Object.assign(new Error(`ENOTDIR: not a directory, mkdir '${path}'`), facts);
}
