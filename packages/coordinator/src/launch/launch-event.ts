/** What a launch reports while it runs. */
import type { ErrorRecord } from "@rankcast/core/runtime";

/** A rank as the launcher knows it. */
export interface LaunchedRank {
  readonly rank: number;
  readonly localRank: number;
  readonly pid: number;
}

/** A rank that ended by itself, not well. */
export interface RankFailure {
  readonly rank: number;
  readonly localRank: number;
  readonly nodeRank: number;
  readonly host: string;
  /** Null when the process could not even be started. */
  readonly pid: number | null;
  /** Python's convention, as in torch's table: minus the signal's number after a signal. */
  readonly exitCode: number;
  readonly signal: string | null;
  /** When it failed, on the machine's monotonic clock, in milliseconds; comparable between processes of one machine. */
  readonly failedMs: number;
  /** The same as Unix time in milliseconds, for people. */
  readonly failedUnixMs: number;
  /** Path of the error file the rank wrote; null without one. */
  readonly errorFile: string | null;
  /** What happened, with the stack when the rank wrote one. */
  readonly message: string;
  /** The rank's error, when it wrote one in our form. */
  readonly error: ErrorRecord | null;
  /** The rank whose failure this is only a consequence of, as far as this rank knew. */
  readonly blames: number | null;
}

/** Everything `onEvent` may be told. */
export type LaunchEvent =
  | { readonly type: "starting"; readonly attempt: number; readonly epoch: number; readonly worldSize: number }
  | { readonly type: "spawned"; readonly attempt: number; readonly rank: LaunchedRank }
  | {
      readonly type: "exited";
      readonly attempt: number;
      readonly rank: LaunchedRank;
      readonly exitCode: number;
      readonly signal: string | null;
      /** The launcher had asked it to stop. */
      readonly stopped: boolean;
    }
  | { readonly type: "failed"; readonly attempt: number; readonly failure: RankFailure }
  | { readonly type: "stopping"; readonly attempt: number; readonly signal: string; readonly localRanks: readonly number[] }
  | { readonly type: "restarting"; readonly attempt: number; readonly restartsLeft: number; readonly cause: RankFailure | null }
  /** One line of a rank, when the launch was asked to pipe output to events. */
  | { readonly type: "output"; readonly rank: LaunchedRank; readonly stream: "stdout" | "stderr"; readonly line: string }
  /** Something a person should know. */
  | { readonly type: "notice"; readonly message: string };
