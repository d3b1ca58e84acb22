/** Runs rankcast's ranks once and says what the load cost. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { launch } from "@rankcast/coordinator";
import type { PeersCheckpoint } from "./peers-checkpoint.js";
import type { PeersCost } from "./peers-results.js";
import type { PeersOrder, PeersRankResult } from "./rankcast-rank.js";

/** How to load. */
export interface RankcastCase {
  readonly ranks: number;
  readonly replicas: number;
  readonly how: "adopt" | "copy";
  /** Cache folder: one that has never seen the file makes it be verified. */
  readonly home: string;
}

const RANK = fileURLToPath(new URL("./rankcast-rank.js", import.meta.url));

/**
 * The clock starts when the first rank has left the barrier "ready" and stops when the last one was released from the load's last barrier, both by the
 * ranks' own word; torch_ranks.py does the same.
 * @throws {CheckpointError} what the job failed with.
 */
export async function runRankcast(
  checkpoint: PeersCheckpoint,
  directory: string,
  { ranks, replicas, how, home }: RankcastCase,
): Promise<PeersCost> {
  const result = join(directory, "rank");
  const order: PeersOrder = { path: checkpoint.pt, how, replicas, tensors: checkpoint.tensors, result };
  await launch({
    script: RANK,
    nprocPerNode: ranks,
    env: { RANKCAST_PEERS_ORDER: JSON.stringify(order), RANKCAST_HOME: home },
    output: { stdout: process.stderr, stderr: process.stderr },
    beforeSpawn: () => {
      // The coordinator is in this process.
      process.env["RANKCAST_HOME"] = home;
      return {};
    },
  });
  const results = Array.from({ length: ranks }, (_, rank) => JSON.parse(readFileSync(`${result}.${rank}`, "utf8")) as PeersRankResult);
  return {
    ms: Math.max(...results.map(({ loadedMs }) => loadedMs)) - Math.min(...results.map(({ readyMs }) => readyMs)),
    pssBytes: results[0]?.pssBytes ?? Number.NaN,
    peakRssBytes: Math.max(...results.map(({ peakRssBytes }) => peakRssBytes)),
    touched: results[0]?.touched ?? null,
  };
}
