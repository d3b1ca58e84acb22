/** Who owns a file or a lock, in a way that survives the reuse of process numbers. */
import { createHash, randomBytes } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { threadId } from "node:worker_threads";

/** A process: its number means something only on one boot of one machine, in one process namespace, for one start time. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot on Linux (field 22 of `/proc/<pid>/stat`), `0` elsewhere. */
  readonly startTime: string;
  /** Process namespace on Linux, `0` elsewhere. */
  readonly namespace: string;
  /** Digest of the boot id on Linux, of the host name elsewhere. Also tells whether the page cache that took a write is still the same. */
  readonly boot: string;
  /** Digest of the host name. */
  readonly host: string;
}

let own: ProcessIdentity | undefined;

/** This process. */
export function processIdentity(): ProcessIdentity {
  own ??= {
    pid: process.pid,
    startTime: startTime(process.pid) ?? "0",
    namespace: attempt(() => readlinkSync("/proc/self/ns/pid").replace(/\D/g, "")) ?? "0",
    boot: shortDigest(attempt(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()) ?? hostname()),
    host: shortDigest(hostname()),
  };
  return own;
}

/** A file name part that no other process, thread or call uses, and that names its owner. */
export function uniqueTag(): string {
  const { pid, startTime: started, namespace, boot, host } = processIdentity();
  return [pid, started, namespace, boot, host, threadId, randomBytes(4).toString("hex")].join("-");
}

/** The owner in a tag at the beginning of `text`; null when there is none. */
export function ownerOf(text: string): ProcessIdentity | null {
  const match = /^(\d+)-(\d+)-(\d+)-([0-9a-f]{8})-([0-9a-f]{8})-\d+-[0-9a-f]{8}(?![0-9a-f])/.exec(text);
  if (match === null) return null;
  const [, pid, started = "", namespace = "", boot = "", host = ""] = match;
  return { pid: Number(pid), startTime: started, namespace, boot, host };
}

/**
 * Whether the process is gone for certain: this host has booted since, or it belongs to this boot and namespace and no process of that number
 * and start time exists. False when it can not be told.
 */
export function isDead(identity: ProcessIdentity): boolean {
  const self = processIdentity();
  if (identity.boot !== self.boot) return identity.host === self.host;
  if (identity.namespace !== self.namespace) return false;
  if (identity.startTime !== "0") return startTime(identity.pid) !== identity.startTime;
  try {
    process.kill(identity.pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

/** Whether the process lives for certain, stopped or not; one that has ended and only waits for its parent to look does not. False when it can not be told. */
export function isAlive({ pid, startTime: started, namespace, boot }: ProcessIdentity): boolean {
  const self = processIdentity();
  if (boot !== self.boot || namespace !== self.namespace || started === "0") return false;
  const fields = statFields(pid);
  return fields?.[START_TIME] === started && fields[STATE] !== "Z" && fields[STATE] !== "X";
}

/** Whether the process stands still after SIGSTOP or SIGTSTP. False when it can not be told; one that a debugger holds is not meant. */
export function isStopped({ pid, startTime: started, namespace, boot }: ProcessIdentity): boolean {
  const self = processIdentity();
  if (boot !== self.boot || namespace !== self.namespace || started === "0") return false;
  const fields = statFields(pid);
  return fields?.[START_TIME] === started && fields[STATE] === "T";
}

const STATE = 0;
const START_TIME = 19;

function startTime(pid: number): string | undefined {
  return statFields(pid)?.[START_TIME];
}

/** Fields of the stat file from the third on; the second is the command name in parentheses and may itself hold spaces and parentheses. */
function statFields(pid: number): string[] | undefined {
  const stat = attempt(() => readFileSync(`/proc/${pid}/stat`, "utf8"));
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
}

function shortDigest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 8);
}

function attempt<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch {
    return undefined;
  }
}
