/** The launcher's flags. */
import type { Command } from "commander";

/** Values commander gives. */
export interface LaunchFlags {
  readonly nprocPerNode: string;
}

/** Adds them. */
export function addLaunchOptions(command: Command): void {
  command.option("--nproc-per-node <count>", "ranks on this node", "1");
}

/** What they mean. */
export function launchOptionsOf(flags: LaunchFlags): { readonly nprocPerNode: number } {
  return { nprocPerNode: Number(flags.nprocPerNode) };
}
