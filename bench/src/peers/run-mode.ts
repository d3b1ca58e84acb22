/** One run of one way of loading. */
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadPlainly, runTogether } from "../load-run.js";
import type { PeersCheckpoint } from "./peers-checkpoint.js";
import type { PeersMode } from "./peers-mode.js";
import type { PeersCost } from "./peers-results.js";
import { runFloor } from "./run-floor.js";
import { runPython, type TorchPython } from "./run-python.js";
import { runRankcast } from "./run-rankcast.js";

/** What runs have in common. */
export interface RunSurroundings {
  /** For whatever a run leaves; removed after all of them. */
  readonly directory: string;
  readonly python: TorchPython | null;
  /** The compiled floor program. */
  readonly floor: string | null;
}

const MEMCPY_RANK = fileURLToPath(new URL("./memcpy-rank.js", import.meta.url));

/** Runs `mode` once on `ranks` ranks. @throws {Error} what the way failed with. */
export async function runMode(
  mode: PeersMode,
  ranks: number,
  checkpoint: PeersCheckpoint,
  { directory, python, floor }: RunSurroundings,
): Promise<PeersCost> {
  switch (mode.runner) {
    case "python":
      if (!python || mode.python === undefined) throw new Error(`${mode.name} needs Python`);
      return runPython(python.program, mode.python, ranks, checkpoint);
    case "plain":
      return { ...(await loadPlainly(checkpoint.pt, { ranks, replicas: 1 }, checkpoint.extents)), touched: null };
    case "memcpy": {
      const nbytes = checkpoint.extents.reduce((sum, extent) => sum + Number(extent.split(":")[1]), 0);
      return { ...(await runTogether(MEMCPY_RANK, ranks, [`${nbytes}`, `${checkpoint.extents.length}`])), touched: null };
    }
    case "floor":
      if (floor === null) throw new Error(`${mode.name} needs a C compiler`);
      return runFloor(floor, checkpoint.pt, ranks);
    case "rankcast":
      return runRankcast(checkpoint, directory, {
        ranks,
        replicas: mode.name === "rankcast-replicas" ? 2 : 0,
        how: mode.name === "rankcast-copy" ? "copy" : "adopt",
        // A cache of its own has not seen the file: its checksums are compared.
        home: mode.name === "rankcast-first" ? mkdtempSync(join(directory, "first-")) : join(directory, "home"),
      });
  }
}
