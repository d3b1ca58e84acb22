/** Lets a test step in before every change that code makes to the file system. */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const HANDLE_METHODS = ["write", "writev", "writeFile", "truncate", "sync", "datasync", "chmod"];
const FUNCTIONS = ["open", "rename", "mkdir", "link"];

/**
 * Calls `before` ahead of every changing call of `node:fs/promises` in this process, until the returned function is called. What `before` throws is
 * what the call fails with. Removals are not stepped into: cleaning up must work.
 */
export async function stepInto(before: (method: string) => void): Promise<() => void> {
  const restore: (() => void)[] = [];
  const watch = (target: Record<string, unknown>, names: readonly string[]): void => {
    for (const name of names) {
      const original = target[name] as (...args: unknown[]) => unknown;
      target[name] = async function (this: unknown, ...args: unknown[]): Promise<unknown> {
        before(name);
        return original.apply(this, args);
      };
      restore.push(() => {
        target[name] = original;
      });
    }
  };
  const handle = await fs.promises.open(process.execPath);
  watch(Object.getPrototypeOf(handle) as Record<string, unknown>, HANDLE_METHODS);
  await handle.close();
  watch(fs.promises as unknown as Record<string, unknown>, FUNCTIONS);
  syncBuiltinESMExports();
  return () => {
    for (const each of restore) each();
    syncBuiltinESMExports();
  };
}
