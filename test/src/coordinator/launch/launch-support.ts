/** Launching the test program, in this process or in one that can be killed. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { LaunchEvent, LaunchOptions } from "@rankcast/coordinator";
import { CheckpointError } from "@rankcast/core";

/** What test ranks run. */
export const PROGRAM = fileURLToPath(new URL("./programs/rank-program.js", import.meta.url));
const LAUNCHER = fileURLToPath(new URL("./programs/launcher-program.js", import.meta.url));

/** A folder for one test. */
export function createFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "rankcast-launch-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Options for ranks that do `verbs`, one per rank, with events collected. */
export function ranks(verbs: readonly string[], more: Partial<LaunchOptions> = {}): LaunchOptions & { readonly events: LaunchEvent[] } {
  const events: LaunchEvent[] = [];
  return {
    script: PROGRAM,
    args: verbs,
    nprocPerNode: verbs.length,
    output: "events",
    graceSeconds: "5",
    ...more,
    onEvent: (event) => {
      events.push(event);
      more.onEvent?.(event);
    },
    events,
  };
}

/** The error a promise rejects with. */
export async function rejectionOf(promise: Promise<unknown>): Promise<CheckpointError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof CheckpointError) return error;
    throw error;
  }
  throw new Error("it did not reject");
}

/** Lines that ranks wrote. */
export function linesOf(events: readonly LaunchEvent[]): string[] {
  return events.flatMap((event) => (event.type === "output" ? `${event.stream} ${event.line}` : []));
}

/** A launcher in its own process. */
export interface LauncherProcess {
  readonly child: ChildProcess;
  /** Resolves with the first event for which `wanted` is true. */
  event(wanted: (event: { readonly type: string; readonly [field: string]: unknown }) => boolean): Promise<Record<string, unknown>>;
  readonly exited: Promise<{ readonly code: number | null; readonly signal: string | null }>;
}

/** Starts a launcher whose ranks do `verbs`. */
export function startLauncher(verbs: readonly string[], temporary: string, more: Partial<LaunchOptions> = {}): LauncherProcess {
  const options = { script: PROGRAM, args: verbs, nprocPerNode: verbs.length, ...more };
  const child = spawn(process.execPath, [LAUNCHER, JSON.stringify(options)], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, TMPDIR: temporary },
  });
  const seen: { type: string; [field: string]: unknown }[] = [];
  const waiters = new Set<() => void>();
  createInterface({ input: child.stdout }).on("line", (line) => {
    seen.push(JSON.parse(line));
    for (const wake of waiters) wake();
  });
  return {
    child,
    exited: new Promise((resolve) => child.once("exit", (code, signal) => resolve({ code, signal }))),
    event: (wanted) =>
      new Promise((resolve) => {
        const look = () => {
          const found = seen.find(wanted);
          if (found === undefined) return;
          waiters.delete(look);
          resolve(found);
        };
        waiters.add(look);
        look();
      }),
  };
}

/** Waits until ranks 0 to `count - 1` have said that they stay; gives their pids. */
export async function pidsOfStaying(launcher: LauncherProcess, count: number): Promise<number[]> {
  const pids: number[] = [];
  for (let rank = 0; rank < count; rank += 1) {
    const said = await launcher.event((event) => event.type === "output" && String(event["line"]).startsWith(`rank ${rank} stays`));
    pids.push((said["rank"] as { pid: number }).pid);
  }
  return pids;
}

/** Whether a process exists and is no zombie. */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return !/^\d+ \(.*\) [ZX] /s.test(stat);
  } catch {
    return false;
  }
}

/** Resolves with the milliseconds until none of the processes is alive; fails after `limitMs`. */
export async function goneWithin(pids: readonly number[], limitMs: number): Promise<number> {
  const begin = performance.now();
  while (pids.some(isAlive)) {
    if (performance.now() - begin > limitMs) throw new Error(`still alive after ${limitMs} ms: ${pids.filter(isAlive).join()}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return performance.now() - begin;
}
