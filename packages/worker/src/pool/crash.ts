/** How a replica's thread ended, and the error of whatever waited for it. */
import { DistributionError } from "@rankcast/core";

/** Why a thread is no more. */
export interface Crash {
  /**
   * `exit`: process.exit or a thread that ran out of work; `uncaught`: an error nobody caught; `out-of-memory`: above its resource limits;
   * `deadline`: ended because it took too long; `restart`: ended because the caller wanted a fresh one.
   */
  readonly reason: "exit" | "uncaught" | "out-of-memory" | "deadline" | "restart";
  readonly exitCode: number | null;
  /** What was thrown; undefined when nothing was. */
  readonly cause: unknown;
}

/** Judges an ended thread by its exit code and the error it ended with. */
export function judgeCrash(exitCode: number, thrown: { readonly cause: unknown } | null): Crash {
  if (thrown === null) return { reason: "exit", exitCode, cause: undefined };
  const code = (thrown.cause as { code?: unknown } | null | undefined)?.code;
  return { reason: code === "ERR_WORKER_OUT_OF_MEMORY" ? "out-of-memory" : "uncaught", exitCode, cause: thrown.cause };
}

const WORDS: { readonly [reason in Crash["reason"]]: string } = {
  exit: "exited",
  uncaught: "ended by an error that nobody caught",
  "out-of-memory": "ran out of memory",
  deadline: "was ended because it took too long",
  restart: "was ended to be restarted",
};

/** The error of a task that the thread did not finish (`during`) or never began. Class `worker`. */
export function crashError(replica: number, crash: Crash, task: { readonly name: string; readonly begun: boolean }): DistributionError {
  const { reason, exitCode, cause } = crash;
  const code = reason === "exit" && exitCode !== null ? ` with code ${exitCode}` : "";
  const text = cause instanceof Error ? `: ${cause.message}` : "";
  const when = task.begun ? `during ${task.name}` : `before ${task.name} began`;
  return new DistributionError("RANKCAST_REPLICA_CRASHED", `the thread of replica ${replica} ${WORDS[reason]}${code} ${when}${text}`, {
    details: { replica, reason, task: task.name, begun: task.begun, ...(exitCode === null ? {} : { threadExitCode: exitCode }) },
    ...(cause === undefined ? {} : { cause }),
  });
}

/** Of whatever waited for a replica whose pool is closed. */
export function closedError(): DistributionError {
  return new DistributionError("RANKCAST_CLOSED", "the pool is closed", {});
}

/** Of a call that its caller gave up. */
export function cancelledError(signal: AbortSignal | undefined): DistributionError {
  return new DistributionError("RANKCAST_CANCELLED", "the caller cancelled the call", { cause: signal?.reason });
}
