/** One rank's process. */
import { type ChildProcess, spawn } from "node:child_process";
import { Socket } from "node:net";
import { constants, hostname } from "node:os";
import type { ErrorDetail } from "@rankcast/core";
import type { ErrorRecord } from "@rankcast/core/runtime";
import { readErrorFile } from "./error-file.ts";
import type { RankFailure } from "./launch-event.ts";
import type { CompiledLaunchOptions } from "./launch-options.ts";
import type { RankFiles } from "./log-tree.ts";
import { endGroup, signalGroup } from "./process-group.ts";
import type { RankOutput } from "./rank-output.ts";
import { GUARD_DESCRIPTOR } from "./rank-variables.ts";

/** The preloaded module, as built. */
const GUARD = new URL("./rank-guard.js", import.meta.url);
/** How long processes that a rank left behind may take to end. */
const LEFTOVER_GRACE_MS = 2000;
/** How long a pipe may be silent after its group has ended. */
const PIPE_SILENCE_MS = 250;

/** How a process ended. */
export interface RankExit {
  /** Minus the signal's number after a signal. */
  readonly exitCode: number;
  readonly signal: NodeJS.Signals | null;
  /** When the launcher noticed it, on the monotonic clock. */
  readonly noticedMs: number;
  /** Why the process was never there. */
  readonly spawnError: Error | null;
}

/** A rank's process while it lives. */
export interface RankProcess {
  readonly localRank: number;
  readonly rank: number;
  /** Null when it could not be started. */
  readonly pid: number | null;
  /** Resolves as soon as the process has ended. */
  readonly exited: Promise<RankExit>;
  /** Resolves when everything it started has ended too and its output is written. */
  readonly cleared: Promise<void>;
  /** To the process and everything it started. */
  signal(signal: NodeJS.Signals): void;
}

/** The machine's monotonic clock in milliseconds: comparable between processes. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Starts a rank as the leader of its own process group. */
export function startRank(
  options: CompiledLaunchOptions,
  where: { readonly localRank: number; readonly rank: number },
  env: NodeJS.ProcessEnv,
  output: RankOutput,
): RankProcess {
  const { localRank, rank } = where;
  const args = options.args.map((argument) => argument.replace(/\$\{local_rank\}/g, String(localRank)));
  const [command, commandArgs] = options.noNode
    ? [options.script, args]
    : [process.execPath, [...options.execArgv, "--import", GUARD.href, options.script, ...args]];
  const child = spawn(command, commandArgs, {
    cwd: options.cwd,
    env,
    detached: true,
    stdio: ["ignore", output.stdout, output.stderr, "pipe"],
  });
  const guard = child.stdio[GUARD_DESCRIPTOR];
  guard?.on("error", () => {});
  const pid = child.pid ?? null;
  const written = output.connect(child, { rank, localRank, pid: pid ?? 0 });
  const exited = exitOf(child);
  return {
    localRank,
    rank,
    pid,
    exited,
    cleared: exited.then(async () => {
      guard?.destroy();
      if (pid !== null) await endGroup(pid, LEFTOVER_GRACE_MS);
      await endPipes(child, written);
    }),
    signal: (signal) => {
      if (pid !== null && child.exitCode === null && child.signalCode === null) signalGroup(pid, signal);
    },
  };
}

/** What is known about an attempt when one of its ranks ends. */
export interface AttemptFacts {
  readonly nodeRank: number;
  /** When its ranks were asked to end. */
  readonly stoppedMs: number | null;
  /** The rank that the coordinator lost first. */
  readonly lostRank: number | null;
}

/** The failure of a rank; null when it ended well, or because it was asked to (`stoppedMs`) and had not failed before that. */
export function failureOf(
  process_: RankProcess,
  exit: RankExit,
  files: RankFiles,
  { nodeRank, stoppedMs, lostRank }: AttemptFacts,
): RankFailure | null {
  const { exitCode, signal, noticedMs, spawnError } = exit;
  if (exitCode === 0) return null;
  const nowUnixMs = Date.now();
  const nowMs = monotonicMs();
  const file = readErrorFile(files.error);
  const failedMs = file === null ? noticedMs : (file.monotonicMs ?? nowMs - (nowUnixMs - file.writtenUnixMs));
  const { rank, localRank, pid } = process_;
  // The exits of others, which its end led to, may be noticed before its own; then it seems to have been asked to end.
  const askedTo = stoppedMs !== null && (file === null || failedMs >= stoppedMs);
  if (askedTo && rank !== lostRank) return null;
  return {
    rank,
    localRank,
    nodeRank,
    host: hostname(),
    pid,
    exitCode,
    signal,
    failedMs,
    failedUnixMs: nowUnixMs - (nowMs - failedMs),
    errorFile: file === null ? null : files.error,
    message: spawnError?.message ?? file?.message ?? silentEnd(exitCode, signal, pid),
    error: file?.record ?? null,
    blames: blamedRank(file?.record ?? null) ?? lostRank,
  };
}

function silentEnd(exitCode: number, signal: string | null, pid: number | null): string {
  if (signal !== null) return `Signal ${-exitCode} (${signal}) received by PID ${pid}`;
  return "no error file: the process ended itself, or its program is not Node and writes none";
}

/** The rank that an error which went through a barrier points at. */
function blamedRank(record: ErrorRecord | null): number | null {
  const cause: ErrorDetail | undefined = record?.details?.["rootCause"];
  if (typeof cause !== "object" || cause === null || Array.isArray(cause)) return null;
  const { rank } = cause as { readonly rank?: ErrorDetail };
  return typeof rank === "number" ? rank : null;
}

function exitOf(child: ChildProcess): Promise<RankExit> {
  return new Promise((resolve) => {
    child.once("exit", (code, signal) => {
      const exitCode = signal === null ? (code ?? 1) : -constants.signals[signal];
      resolve({ exitCode, signal, noticedMs: monotonicMs(), spawnError: null });
    });
    child.once("error", (spawnError) => {
      // After a start this is only a failed kill; 'exit' tells the rest.
      if (child.pid === undefined) resolve({ exitCode: 127, signal: null, noticedMs: monotonicMs(), spawnError });
    });
  });
}

/** Waits for the last output. A pipe that is silent although its group has ended is held by somebody else: it is closed on this side. */
async function endPipes(child: ChildProcess, written: Promise<void>): Promise<void> {
  const pipes = [child.stdout, child.stderr].filter((pipe) => pipe instanceof Socket);
  let seen: readonly number[] = [];
  const timer = setInterval(() => {
    const now = pipes.map((pipe) => pipe.bytesRead);
    for (const [at, pipe] of pipes.entries()) {
      // A paused pipe waits for a slow console, and everything in it is still wanted.
      if (!pipe.isPaused() && now[at] === seen[at]) pipe.destroy();
    }
    seen = now;
  }, PIPE_SILENCE_MS);
  await written;
  clearInterval(timer);
}
