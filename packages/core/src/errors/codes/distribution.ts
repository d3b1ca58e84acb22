/** Codes of ranks, replicas, coordinator and barrier. */
import type { ErrorCodeRow } from "../error-code-row.ts";

/** Codes of ranks, replicas, coordinator and barrier. */
export const DISTRIBUTION_CODES = {
  RANKCAST_RANK_VARIABLES: {
    class: "usage",
    meaning: "The environment variables that say which rank this process is are incomplete or contradict each other.",
    remedy: "Start the ranks with one launcher (`rankcast run`, torchrun, srun, mpirun) and do not set its variables by hand.",
  },
  RANKCAST_TOPOLOGY: {
    class: "protocol",
    meaning: "The ranks that met do not form a whole job: one is missing, twice, or on two nodes.",
    remedy: "Start every rank exactly once; a rank left over from an earlier run must end first.",
  },
} as const satisfies Record<string, ErrorCodeRow>;
