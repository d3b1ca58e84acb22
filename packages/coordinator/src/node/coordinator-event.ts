/** What is heard of a coordinator from outside. */
import type { CheckpointError, LoadReportFields } from "@rankcast/core";
import type { RefusalCount } from "../link/refusals.ts";

/** What the coordinator tells its owner; for progress and logs. */
export type CoordinatorEvent =
  | { readonly type: "phase"; readonly phase: string }
  | { readonly type: "bytes"; readonly bytes: number; readonly totalBytes: number | null }
  | { readonly type: "rank"; readonly rank: number; readonly phase: string }
  /** A round has passed its last barrier. */
  | { readonly type: "report"; readonly report: LoadReportFields }
  /** Something about live weights: a version was published (`published`), taken, or let go of. */
  | { readonly type: "live"; readonly published: boolean; readonly behindMax: number; readonly held: number }
  /** Connections were turned away at the port where node 0 takes other nodes, by reason; at most one such event a second. */
  | { readonly type: "refused"; readonly refusals: readonly RefusalCount[] }
  /** A barrier has failed: the error every rank gets. */
  | { readonly type: "failed"; readonly error: CheckpointError };
