/** Why a way of loading can not be measured here. */
import { statfsSync } from "node:fs";
import type { PeersMode } from "./peers-mode.js";
import type { TorchPython } from "./run-python.js";

const MIB = 2 ** 20;
/** What the machine does beside the ranks. */
const SPARE_BYTES = 2 ** 30;
/** A rank without its model: Python with torch, the largest. */
const RANK_BYTES = 256 * MIB;

/** What ways need beside memory. */
export interface PeersPrograms {
  readonly python: TorchPython | null;
  /** The compiled floor program. */
  readonly floor: string | null;
}

/** Why `mode` can not run on `ranks` ranks with a checkpoint of `nbytes`; null when it can. */
export function obstacleOf(mode: PeersMode, ranks: number, nbytes: number, { python, floor }: PeersPrograms): string | null {
  if (mode.runner === "python") {
    if (python === null)
      return "no Python with torch and gloo was found (apt-get install python3-torch, or pip install torch; --python names one)";
    if (mode.needs && python[mode.needs] === null) return `this Python has no ${mode.needs}`;
  }
  if (mode.runner === "floor" && floor === null) return "no C compiler (cc) was found";
  // The file has to stay in the page cache meanwhile: what pushes it out would measure the disk.
  const file = mode.reads === null ? 0 : nbytes;
  return memoryObstacle(mode.copies(ranks) * nbytes + file + ranks * RANK_BYTES);
}

/** Why no checkpoint of `nbytes` can be made in `directory`; null when it can. It is whole in memory while it is written. */
export function checkpointObstacle(directory: string, nbytes: number): string | null {
  const { bavail, bsize } = statfsSync(directory);
  // Twice: torch's format and safetensors.
  const needed = 2 * nbytes + SPARE_BYTES;
  if (needed > bavail * bsize)
    return `${directory} has ${mib(bavail * bsize)} MiB left, the files need ${mib(needed)} MiB (TMPDIR names another place)`;
  return memoryObstacle(2 * nbytes);
}

function memoryObstacle(nbytes: number): string | null {
  const available = process.availableMemory();
  return nbytes + SPARE_BYTES > available ? `it needs ${mib(nbytes + SPARE_BYTES)} MiB, ${mib(available)} are available` : null;
}

function mib(nbytes: number): number {
  return Math.ceil(nbytes / MIB);
}
