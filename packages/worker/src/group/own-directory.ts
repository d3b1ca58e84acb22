/**
 * Owning the directory where ranks of one node meet when no launcher of ours started them. Whoever starts the coordinator owns it, and it goes away with the
 * owner: in order when the coordinator closes, by a tiny process that notices the owner's death (the kernel closes its standard input even after
 * SIGKILL), and should that one be killed as well, by the next owner of any such directory.
 */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isDead, ownerOf, uniqueTag } from "@rankcast/core/runtime";

const SHELL = "/bin/sh";
/** `$1` is the directory, `$2` its owner's file: a successor that has taken the directory over keeps it. A line of input says that all is in order. */
const SCRIPT = `
trap '' HUP INT QUIT TERM
read -r done && exit 0
[ -e "$1/$2" ] && rm -rf -- "$1"
exit 0
`;

const OWNER_PREFIX = "owner-";

/** Takes a directory over for this process; what an earlier, killed job left in it is not ours to trust. */
export function ownDirectory(directory: string): { readonly letGo: () => void } {
  for (const name of readdirSync(directory)) rmSync(join(directory, name), { recursive: true, force: true });
  const owner = `${OWNER_PREFIX}${uniqueTag()}`;
  writeFileSync(join(directory, owner), "", { mode: 0o600 });
  reapAbandoned(join(directory, ".."));
  return { letGo: startWarden(directory, owner) };
}

/** Removes directories whose owner is gone for certain; those of other machines, or not owned yet, stay. */
function reapAbandoned(base: string): void {
  for (const name of readdirSync(base)) {
    const directory = join(base, name);
    try {
      const file = readdirSync(directory).find((each) => each.startsWith(OWNER_PREFIX));
      const owner = file === undefined ? null : ownerOf(file.slice(OWNER_PREFIX.length));
      if (owner !== null && isDead(owner)) rmSync(directory, { recursive: true, force: true });
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
