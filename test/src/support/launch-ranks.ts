/** A launcher as users write them: sets torchrun's variables, starts one process per rank, waits. Knows nothing of rankcast. */
import type { CommandOptions, CommandResult, CommandSandbox } from "./command-sandbox.js";

/** The variables torchrun would give rank `rank`, of nodes with `ranksPerNode` ranks each (all ranks on one node where it says nothing). */
export function torchrunVariables(rank: number, worldSize: number, jobId: string, ranksPerNode = worldSize): Record<string, string> {
  return {
    RANK: String(rank),
    LOCAL_RANK: String(rank % ranksPerNode),
    GROUP_RANK: String(Math.floor(rank / ranksPerNode)),
    WORLD_SIZE: String(worldSize),
    LOCAL_WORLD_SIZE: String(ranksPerNode),
    MASTER_ADDR: "127.0.0.1",
    MASTER_PORT: "29500",
    TORCHELASTIC_RUN_ID: jobId,
    TORCHELASTIC_RESTART_COUNT: "0",
    TORCHELASTIC_MAX_RESTARTS: "0",
  };
}

/** Runs `program` once per rank and resolves when all have ended, results by rank. */
export function launchRanks(
  sandbox: CommandSandbox,
  program: string,
  worldSize: number,
  options: CommandOptions & { readonly args?: readonly string[] } = {},
): Promise<CommandResult[]> {
  return Promise.all(
    Array.from({ length: worldSize }, (_, rank) => {
      const env = { ...torchrunVariables(rank, worldSize, "scenario"), ...options.env };
      return sandbox.start([program, ...(options.args ?? [])], { ...options, env }).ended;
    }),
  );
}

/** What every rank printed, parsed; a rank that failed fails the test with its stderr. */
export function documentsOf<T>(results: readonly CommandResult[]): T[] {
  return results.map(({ exitCode, stdout, stderr }, rank) => {
    if (exitCode !== 0) throw new Error(`rank ${rank} ended with ${exitCode}: ${stderr}`);
    return JSON.parse(stdout) as T;
  });
}
