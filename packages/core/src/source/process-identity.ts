/** Who owns a file or a lock, in a way that survives the reuse of process numbers. */
import { randomBytes } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { threadId } from "node:worker_threads";

/** A process: its number means something only on one boot of one machine, in one process namespace, for one start time. */
export interface ProcessIdentity {
  /** Boot id on Linux, host name elsewhere. Also tells whether the page cache that took a write is still the same. */
  readonly boot: string;
  readonly host: string;
  readonly namespace: string;
  readonly pid: number;
  /** Clock ticks since boot on Linux (field 22 of `/proc/<pid>/stat`), empty elsewhere. */
  readonly startTime: string;
}

let own: ProcessIdentity | undefined;

/** This process. */
export function processIdentity(): ProcessIdentity {
  own ??= {
    boot: attempt(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()) ?? hostname(),
    host: hostname(),
    namespace: attempt(() => readlinkSync("/proc/self/ns/pid").replace(/\D/g, "")) ?? "",
    pid: process.pid,
    startTime: startTime(process.pid) ?? "",
  };
  return own;
}

/**
 * Whether the process is gone for certain: this host has booted since, or it belongs to this boot and namespace and no process of that number
 * and start time exists. False when it can not be told.
 */
export function isDead(identity: ProcessIdentity): boolean {
  const self = processIdentity();
  if (identity.boot !== self.boot) return identity.host === self.host;
  if (identity.namespace !== self.namespace) return false;
  if (identity.startTime !== "") return startTime(identity.pid) !== identity.startTime;
  try {
    process.kill(identity.pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

/** A name no other process, thread or call uses. */
export function uniqueTag(): string {
  return `${process.pid}-${threadId}-${randomBytes(6).toString("hex")}`;
}

/** Field 22 of the stat file; the second field is the command name in parentheses and may itself hold spaces and parentheses. */
function startTime(pid: number): string | undefined {
  const stat = attempt(() => readFileSync(`/proc/${pid}/stat`, "utf8"));
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
}

function attempt<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch {
    return undefined;
  }
}
