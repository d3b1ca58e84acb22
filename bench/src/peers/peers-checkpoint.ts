/** One generated checkpoint as the two files that the ways of loading take. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** The files and what is in them. */
export interface PeersCheckpoint {
  readonly bytes: number;
  /** Written as `torch.save` would. */
  readonly pt: string;
  /** The same tensors as safetensors. */
  readonly safetensors: string;
  readonly tensors: readonly (readonly [name: string, shape: readonly number[]])[];
  /** `offset:nbytes` of every tensor, for the plain way. */
  readonly extents: readonly string[];
}

const WRITER = fileURLToPath(new URL("./write-checkpoint.js", import.meta.url));

/** Writes both files into `directory`, in a process of its own: what it maps and holds must not count as memory of the loads. */
export async function makePeersCheckpoint(directory: string, nbytes: number): Promise<PeersCheckpoint> {
  const { stdout } = await promisify(execFile)(process.execPath, [WRITER, directory, `${nbytes}`]);
  return JSON.parse(stdout) as PeersCheckpoint;
}
