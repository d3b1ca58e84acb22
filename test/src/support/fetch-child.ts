/**
 * A process that fetches one URL: `node fetch-child.js '{"url", "cacheDir", "limits", "killAt"}'`. Prints the result as JSON. With `killAt: n` it kills
 * itself with SIGKILL instead of its n-th change to the file system, and prints how many there were when it lives. A line `waiting` says that another
 * process holds the lock.
 */
import { compileLimits } from "@rankcast/core";
import { fetchToCache, readEnvironment, unlocked } from "@rankcast/core/internal";
import { stepInto } from "./file-system-steps.ts";

export interface ChildRequest {
  readonly url: string;
  readonly cacheDir: string;
  readonly limits?: Partial<Record<string, number>>;
  readonly killAt?: number;
  readonly brokenLock?: boolean;
}

const request = JSON.parse(process.argv[2] ?? "{}") as ChildRequest;
let changes = 0;
await stepInto(() => {
  changes += 1;
  if (changes === request.killAt) process.kill(process.pid, "SIGKILL");
});
try {
  const fetched = await fetchToCache(request.url, {
    cacheDir: request.cacheDir,
    limits: compileLimits(request.limits ?? {}),
    environment: readEnvironment({ HOME: request.cacheDir }),
    onProgress: (event) => {
      if (event.type === "waiting") process.stdout.write("waiting\n");
    },
    ...(request.brokenLock ? { lock: async () => unlocked() } : {}),
  });
  process.stdout.write(JSON.stringify({ ...fetched, changes }));
} catch (error) {
  process.stdout.write(JSON.stringify({ error: (error as { code?: string }).code ?? String(error) }));
  process.exitCode = 1;
}
