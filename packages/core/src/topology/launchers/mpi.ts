/**
 * mpirun of Open MPI and mpiexec of MPICH (Hydra; Intel MPI and MVAPICH2 use it too). Neither says which node a rank is on:
 * OMPI_COMM_WORLD_NODE_RANK is "the rank of this process on its node over all jobs", and OMPI_MCA_orte_num_nodes counts nodes
 * of the allocation, used or not. Unless all ranks are local, nodes are numbered when the ranks meet.
 */
import { UsageError } from "../../errors/checkpoint-error.ts";
import type { LauncherSighting, ProcessVariables } from "../detected-rank.ts";
import { claimOf, requireVariables, textOf } from "../read-variable.ts";

/**
 * Sees a process of Open MPI's mpirun.
 * @throws {UsageError} RANKCAST_RANK_VARIABLES when some variables are missing, or only PMIx's rank is there, which has no world size.
 */
export function seeOpenMpi(env: ProcessVariables): LauncherSighting | null {
  if (textOf(env, "OMPI_COMM_WORLD_RANK") === undefined) {
    const pmix = textOf(env, "PMIX_RANK");
    if (pmix === undefined) return null;
    throw new UsageError(
      "RANKCAST_RANK_VARIABLES",
      `PMIX_RANK says ${pmix.slice(0, 20)}, but OMPI_COMM_WORLD_SIZE, the number of ranks, is not set`,
      {
        details: { variables: ["PMIX_RANK", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"] },
        remedy:
          "Start with Open MPI's mpirun, or set RANKCAST_RANK, RANKCAST_WORLD_SIZE, RANKCAST_LOCAL_RANK and RANKCAST_LOCAL_WORLD_SIZE.",
      },
    );
  }
  const names = ["OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"];
  requireVariables(env, "OMPI_COMM_WORLD_RANK", ...names);
  const daemon = daemonOf(env);
  return {
    launcher: "open-mpi",
    claims: {
      rank: claimOf(env, "OMPI_COMM_WORLD_RANK"),
      localRank: claimOf(env, "OMPI_COMM_WORLD_LOCAL_RANK"),
      worldSize: claimOf(env, "OMPI_COMM_WORLD_SIZE"),
      localWorldSize: claimOf(env, "OMPI_COMM_WORLD_LOCAL_SIZE"),
    },
    jobId: textOf(env, "PMIX_NAMESPACE") ?? null,
    // Several daemons of one machine (hosts of a test, containers that share a network) each have ranks 0, 1, ... of their own.
    ...(daemon === undefined ? {} : { nodeKey: `open-mpi ${daemon}` }),
  };
}

/**
 * The daemon that started this process, one per node: `job.number` before the addresses of its URI (recorded with Open MPI 4.1.4;
 * 5 has PMIx's variables only).
 */
function daemonOf(env: ProcessVariables): string | undefined {
  const uri = textOf(env, "OMPI_MCA_orte_local_daemon_uri") ?? textOf(env, "PMIX_SERVER_URI41") ?? textOf(env, "PMIX_SERVER_URI4");
  return uri?.split(";", 1)[0]?.slice(0, 100);
}

/**
 * Sees a process of MPICH's mpiexec (Hydra).
 * @throws {UsageError} RANKCAST_RANK_VARIABLES when some variables are missing.
 */
export function seeMpich(env: ProcessVariables): LauncherSighting | null {
  if (textOf(env, "PMI_RANK") === undefined || textOf(env, "MPI_LOCALRANKID") === undefined) return null;
  requireVariables(env, "PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS");
  const nodeName = textOf(env, "MPIR_CVAR_CH3_INTERFACE_HOSTNAME");
  return {
    launcher: "mpich",
    claims: {
      rank: claimOf(env, "PMI_RANK"),
      localRank: claimOf(env, "MPI_LOCALRANKID"),
      worldSize: claimOf(env, "PMI_SIZE"),
      localWorldSize: claimOf(env, "MPI_LOCALNRANKS"),
    },
    ...(nodeName === undefined ? {} : { nodeName }),
  };
}
