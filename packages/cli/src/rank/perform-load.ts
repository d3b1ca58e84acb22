/** The rank's side of `rankcast load`. */
import { type LoadReport, type StateDict, Tensor } from "@rankcast/core";
import { joinGroup, type RankGroup } from "@rankcast/worker";
import { bootThreads, closeSpareThreads, createReplica } from "@rankcast/worker/internal";
import type { LoadRequest } from "./load-request.ts";

/** What one rank did. */
export interface RankLoad {
  readonly rank: number;
  readonly report: LoadReport;
  /** One report per weight update. */
  readonly updates: readonly LoadReport[];
}

/**
 * Joins, builds replicas, loads, updates, leaves.
 * @throws {CheckpointError} the same root cause on every rank.
 */
export async function performLoad(request: LoadRequest): Promise<RankLoad> {
  bootThreads(request.replicasPerRank);
  try {
    return await joinAndLoad(request);
  } finally {
    await closeSpareThreads();
  }
}

async function joinAndLoad(request: LoadRequest): Promise<RankLoad> {
  const group = await joinGroup();
  try {
    return request.replicasPerRank === 0 ? await loadInMainThread(group, request) : await loadInPool(group, request);
  } catch (error) {
    // The others may be waiting for this rank at a barrier it will never reach.
    group.abort(error);
    throw error;
  } finally {
    await group.close();
  }
}

async function loadInPool(group: RankGroup, request: LoadRequest): Promise<RankLoad> {
  const pool = await group.createPool({ replicas: request.replicasPerRank, ...(request.model === null ? {} : { replica: request.model }) });
  const report = await pool.load(request.weights, request.options);
  const updates: LoadReport[] = [];
  for (let count = 0; count < request.updates; count += 1) {
    updates.push(await pool.update(group.rank === 0 ? nudge(await pool.stateDict()) : null));
  }
  return { rank: group.rank, report, updates };
}

async function loadInMainThread(group: RankGroup, request: LoadRequest): Promise<RankLoad> {
  const { model, report } = await loadModel(group, request);
  const updates: LoadReport[] = [];
  for (let count = 0; count < request.updates; count += 1) {
    updates.push(await group.broadcastStateDict(group.rank === 0 ? nudge(model.stateDict()) : null));
  }
  return { rank: group.rank, report, updates };
}

async function loadModel(group: RankGroup, { model: url, weights, options }: LoadRequest) {
  if (url === null) return group.loadCheckpoint(weights, options);
  const { rank, localRank, worldSize } = group;
  const model = await createReplica(url, { rank, localRank, worldSize, replica: 0, options: null });
  return { model, report: await group.loadModelCheckpoint(model, weights, options) };
}

/** Weights of "the next step": every float32 value a little smaller, so that an update is visible. */
function nudge(stateDict: StateDict): StateDict {
  for (const [name, tensor] of stateDict) {
    if (tensor.dtype === "float32")
      stateDict.set(
        name,
        Tensor.from(
          tensor.toFloat32Array().map((value) => value * 0.999),
          tensor.shape,
        ),
      );
  }
  return stateDict;
}
