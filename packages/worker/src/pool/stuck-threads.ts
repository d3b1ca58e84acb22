/**
 * Threads that cannot be ended: one that waits in a system call (a read from a hung mount) ignores `terminate`. Node waits for every thread
 * before its process ends, so such a process would never end.
 */
import { nativeMemory } from "@rankcast/core/runtime";

let registered = false;

/** Makes this process end in spite of a thread that cannot be ended, with its own exit code where the kernel door is open. */
export function endInSpiteOfStuckThread(): void {
  if (registered) return;
  registered = true;
  process.on("exit", (code) => {
    nativeMemory(false)?.exit(code);
    // Without that door only a signal ends a process whose thread hangs.
    process.kill(process.pid, "SIGKILL");
  });
}
