/**
 * A process that fetches one URL: `node fetch-child.js '{"url", "cacheDir", "limits", "killAt"}'`. Prints the result as JSON. With `killAt: n` it kills
 * itself with SIGKILL instead of its n-th change to the file system, and prints how many there were when it lives.
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

export interface ChildRequest {
  readonly url: string;
  readonly cacheDir: string;
  readonly limits?: Partial<Record<string, number>>;
  readonly killAt?: number;
  readonly brokenLock?: boolean;
}

const request = JSON.parse(process.argv[2] ?? "{}") as ChildRequest;
let changes = 0;

function step(): void {
  changes += 1;
  if (changes === request.killAt) process.kill(process.pid, "SIGKILL");
}

/** Counts every call of these methods before it happens. */
function watch(target: Record<string, unknown>, names: readonly string[]): void {
  for (const name of names) {
    const original = target[name] as (...args: unknown[]) => unknown;
    target[name] = function (this: unknown, ...args: unknown[]): unknown {
      step();
      return original.apply(this, args);
    };
  }
}

const handle = await fs.promises.open(process.execPath);
watch(Object.getPrototypeOf(handle) as Record<string, unknown>, ["write", "writev", "writeFile", "truncate", "sync", "datasync", "chmod"]);
await handle.close();
watch(fs.promises as unknown as Record<string, unknown>, ["open", "rename", "rm", "mkdir", "link", "utimes"]);
syncBuiltinESMExports();

const { compileLimits } = await import("@rankcast/core");
const { fetchToCache, readEnvironment, unlocked } = await import("@rankcast/core/internal");
changes = 0;
try {
  const fetched = await fetchToCache(request.url, {
    cacheDir: request.cacheDir,
    limits: compileLimits(request.limits ?? {}),
    environment: readEnvironment({ HOME: request.cacheDir }),
    ...(request.brokenLock ? { lock: async () => unlocked() } : {}),
  });
  process.stdout.write(JSON.stringify({ ...fetched, changes }));
} catch (error) {
  process.stdout.write(JSON.stringify({ error: (error as { code?: string }).code ?? String(error) }));
  process.exitCode = 1;
}
