/**
 * A tiny process that outlives the launcher by a moment. It knows the ranks' process groups and notices the launcher's death by the
 * end of its standard input, which the kernel closes even after SIGKILL. Ranks that are busy computing, that are no Node programs,
 * and their children, are ended by it; what `rank-guard.ts` does inside a rank works only when its event loop turns.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";

const SHELL = "/bin/sh";

/**
 * Reads `+ group` and `- group` lines until the end of input, then ends the groups that are left: SIGTERM, a second, SIGKILL. `$1` is
 * the launch's own folder. Signals to the launcher's group do not reach it: it is started in its own session.
 */
const SCRIPT = `
trap '' HUP INT QUIT TERM
groups=
while read -r change group; do
  if [ "$change" = + ]; then groups="$groups $group"; continue; fi
  left=
  for each in $groups; do [ "$each" = "$group" ] || left="$left $each"; done
  groups=$left
done
for each in $groups; do kill -TERM "-$each" 2>/dev/null; done
[ -n "$groups" ] && sleep 1
for each in $groups; do kill -KILL "-$each" 2>/dev/null; done
[ ! -e "$1" ] || rm -rf -- "$1"
exit 0
`;

/** Tells the warden about groups. */
export interface Warden {
  /** False on a system without a shell; ranks then only have their own guard. */
  readonly isThere: boolean;
  watch(group: number): void;
  release(group: number): void;
  /** Lets it go; groups that were not released are ended. Resolves when it is gone, so that a launch leaves nothing behind. */
  close(): Promise<void>;
}

/** Starts a warden. `directory` is removed should the launcher not get to it. */
export function startWarden(directory: string): Warden {
  if (!existsSync(SHELL)) return { isThere: false, watch: () => {}, release: () => {}, close: async () => {} };
  const child: ChildProcess = spawn(SHELL, ["-c", SCRIPT, "rankcast-warden", directory], {
    detached: true,
    cwd: "/",
    stdio: ["pipe", "ignore", "ignore"],
  });
  // Losing it is no reason to stop a job, and it cannot be replaced without a moment in which nobody watches.
  child.on("error", () => {});
  child.stdin?.on("error", () => {});
  child.unref();
  const gone = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
  return {
    isThere: true,
    watch: (group) => void child.stdin?.write(`+ ${group}\n`),
    release: (group) => void child.stdin?.write(`- ${group}\n`),
    close: () => {
      child.ref();
      child.stdin?.end();
      return gone;
    },
  };
}
