/** What detection gives: an identity, and everything else the launcher's variables tell about the job. */
import type { Claims, UnsettledIdentity } from "./rank-identity.ts";

/** Who started this process. */
export type LauncherName = "rankcast" | "torchrun" | "slurm" | "open-mpi" | "mpich" | "pet" | "kubernetes" | "single";

/** Where the launcher says node rank 0 can be reached. */
export interface HeadAddress {
  readonly host: string;
  readonly port: number | null;
  /** Somebody (torchrun's agent) already listens on that port: never bind it. */
  readonly occupied: boolean;
}

/** The result of `detectRank`. */
export interface DetectedRank {
  readonly launcher: LauncherName;
  readonly identity: UnsettledIdentity;
  readonly head: HeadAddress | null;
  readonly jobId: string | null;
  /** How often the launcher has restarted the job. */
  readonly restartCount: number;
  /** The node's name as the launcher calls it; several nodes of a test may share one host name. */
  readonly nodeName: string;
  /** Equal for ranks of one node. */
  readonly nodeKey: string;
  /** Variables that were seen and not used, and why; for `rankcast doctor`. */
  readonly notes: readonly string[];
}

/** What one launcher's detector found. */
export interface LauncherSighting {
  readonly launcher: LauncherName;
  readonly claims: Claims;
  readonly head?: HeadAddress | null;
  readonly jobId?: string | null;
  readonly restartCount?: number;
  readonly nodeName?: string;
  readonly nodeKey?: string;
}

/** The variables of a process (`process.env`). Empty values count as unset, as in Python's `os.environ.get(...) or default`. */
export type ProcessVariables = Readonly<Record<string, string | undefined>>;
