/** What a load would do, for programs and for `rankcast plan`. Reads no tensor bytes. */

import { type OptionShapes, wholeNumber } from "../errors/require-options.ts";
import type { StateDictManifest } from "../manifest/manifest.ts";
import { layoutDigest } from "../manifest/manifest-digest.ts";
import { explainPlan } from "../plan/explain-plan.ts";
import type { SegmentPlan } from "../plan/load-plan.ts";
import { type PlannedRead, planReads } from "../plan/plan-reads.ts";
import { describeNodes, explainNodes, type OwnerPlan, type TravelPlan } from "./explain-nodes.ts";
import type { FetchHooks, FetchOptions } from "./fetch-options.ts";
import { openWeights } from "./open-weights.ts";
import { checkedOptions, FETCH_AND_HOOK_OPTIONS } from "./option-names.ts";

/** The JSON of `rankcast plan`. */
export interface PlanReport {
  readonly weights: string;
  readonly format: string;
  readonly bytes: number;
  readonly tensors: number;
  readonly storages: number;
  readonly layoutDigest: string;
  readonly segments: readonly SegmentPlan[];
  /** Nodes of the job that is planned. */
  readonly nodes: number;
  /** The checkpoint's files. `owner` is the node that goes to the origin for it; null: each node does, for a part or all of it. */
  readonly shards: readonly { readonly name: string; readonly bytes: number; readonly tensors: number; readonly owner: number | null }[];
  /** Runs of bytes that are brought into memory, by index of the shard; neighbours are one run. Mapped bytes are not read. */
  readonly reads: readonly PlannedRead[];
  /** What each node that goes to the origin reads of it. */
  readonly owners: readonly OwnerPlan[];
  /** How the bytes go from node to node; null: they do not. */
  readonly broadcast: TravelPlan | null;
  /** Used where they lie; shared by every replica of a node until written. */
  readonly mappedBytes: number;
  /** Brought into memory once per node. */
  readonly copiedBytes: number;
  /** Memory a node needs for all its replicas together while nobody writes. */
  readonly memoryPerNodeBytes: number;
}

/** What a plan is made for. */
export interface ExplainOptions extends FetchOptions, FetchHooks {
  /** Nodes of the job. Default 1. `fetch` says which of them go to the origin. */
  readonly nnodes?: number;
}

const NODES_MAX = 65_536;
const EXPLAIN_SHAPES: OptionShapes = new Map([["nnodes", wholeNumber(1, NODES_MAX)]]);

/**
 * Plans a load and says so in two ways.
 * @throws {SourceError} when the bytes cannot be had; {FormatError} when they are no checkpoint we accept; {StateDictError} without a state dict.
 */
export async function explainLoad(weights: string, given: ExplainOptions = {}): Promise<{ report: PlanReport; text: string }> {
  const { nnodes = 1, ...options } = checkedOptions("explainLoad", given, { ...FETCH_AND_HOOK_OPTIONS, nnodes: true }, EXPLAIN_SHAPES);
  const policy = options.fetch ?? "once-per-job";
  const shares = nnodes > 1 && policy === "once-per-job";
  const opened = await openWeights(weights, { ...options, access: shares ? "describe-stripes" : "ranges" });
  try {
    const { manifest, plan } = opened;
    const reads = planReads(manifest, plan);
    const readBytes = reads.reduce((sum, { nbytes }) => sum + nbytes, 0) + plan.mappedBytes;
    const nodes = explainNodes(opened, { nnodes, policy, readBytes });
    const report: PlanReport = {
      weights: opened.name,
      format: manifest.format,
      bytes: opened.bytes,
      tensors: manifest.tensors.length,
      storages: manifest.storages.length,
      layoutDigest: layoutDigest(manifest),
      segments: plan.segments,
      nodes: nnodes,
      shards: shardsOf(manifest, nodes.reader),
      reads,
      owners: nodes.owners,
      broadcast: nodes.broadcast,
      mappedBytes: plan.mappedBytes,
      copiedBytes: plan.copiedBytes,
      memoryPerNodeBytes: plan.mappedBytes + plan.copiedBytes,
    };
    const text = explainPlan(manifest, plan);
    return { report, text: nnodes === 1 ? text : `${text}\n${describeNodes(nodes)}` };
  } finally {
    await opened.close();
  }
}

function shardsOf({ sources, storages, tensors }: StateDictManifest, owner: number | null): PlanReport["shards"] {
  const counts = sources.map(() => 0);
  for (const { storage } of tensors) {
    const files = new Set(storages[storage]?.pieces.flatMap(({ extent }) => (extent.type === "range" ? [extent.source] : [])));
    for (const source of files) counts[source] = (counts[source] ?? 0) + 1;
  }
  return sources.map(({ name, version }, index) => ({ name, bytes: version.sizeBytes, tensors: counts[index] ?? 0, owner }));
}
