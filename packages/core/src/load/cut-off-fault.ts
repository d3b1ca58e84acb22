/** Whether a local checkpoint is all there, told from its description: no tensor byte is read. */
import { CheckpointError } from "../errors/checkpoint-error.ts";
import { beginWeights } from "./begin-weights.ts";

/** Whoever follows a folder looks every few seconds; what was whole is whole until it is replaced. */
const KNOWN_MAX = 256;
const knownWhole = new Set<string>();

/**
 * The error that a load of `path` would end with because bytes or whole files are missing; null when none are. Any other fault is the load's to tell.
 * `identity` stands for the state of the files; one that was whole is not opened again.
 */
export async function cutOffFault(path: string, identity: string): Promise<CheckpointError | null> {
  const key = `${path}\n${identity}`;
  if (knownWhole.has(key)) return null;
  const fault = await faultOf(path);
  // What was removed meanwhile is not remembered as whole: nobody has seen its end.
  if (fault !== null && (isCutOff(fault) || fault.class === "not-found")) return fault;
  for (const oldest of knownWhole) if (knownWhole.size >= KNOWN_MAX) knownWhole.delete(oldest);
  knownWhole.add(key);
  return null;
}

/** Whether an error says that bytes or files are missing which somebody may still be writing. */
export function isCutOff(error: CheckpointError): boolean {
  return error.class === "truncated" || error.code === "RANKCAST_INDEX_SHARD";
}

async function faultOf(path: string): Promise<CheckpointError | null> {
  try {
    const begun = await beginWeights(path, { scope: "whole", access: "ranges" });
    await begun.close();
    return null;
  } catch (error) {
    if (error instanceof CheckpointError) return error;
    throw error;
  }
}
