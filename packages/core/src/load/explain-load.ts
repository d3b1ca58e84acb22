/** What a load would do, for programs and for `rankcast plan`. Reads no tensor bytes. */

import type { StateDictManifest } from "../manifest/manifest.ts";
import { layoutDigest } from "../manifest/manifest-digest.ts";
import { explainPlan } from "../plan/explain-plan.ts";
import type { SegmentPlan } from "../plan/load-plan.ts";
import { type PlannedRead, planReads } from "../plan/plan-reads.ts";
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
  /** The checkpoint's files. `owner` is the node that goes to the origin for it: node 0 for all (large remote files may be striped over the nodes). */
  readonly shards: readonly { readonly name: string; readonly bytes: number; readonly tensors: number; readonly owner: number }[];
  /** Runs of bytes that are brought into memory, by index of the shard; neighbours are one run. Mapped bytes are not read. */
  readonly reads: readonly PlannedRead[];
  /** What each node that goes to the origin reads of it. */
  readonly owners: readonly { readonly nodeRank: number; readonly bytes: number }[];
  /** Used where they lie; shared by every replica of a node until written. */
  readonly mappedBytes: number;
  /** Brought into memory once per node. */
  readonly copiedBytes: number;
  /** Memory a node needs for all its replicas together while nobody writes. */
  readonly memoryPerNodeBytes: number;
}

/**
 * Plans a load and says so in two ways.
 * @throws {SourceError} when the bytes cannot be had; {FormatError} when they are no checkpoint we accept; {StateDictError} without a state dict.
 */
export async function explainLoad(weights: string, given: FetchOptions & FetchHooks = {}): Promise<{ report: PlanReport; text: string }> {
  const options = checkedOptions("explainLoad", given, FETCH_AND_HOOK_OPTIONS);
  const opened = await openWeights(weights, { ...options, access: "ranges" });
  try {
    const { manifest, plan } = opened;
    const reads = planReads(manifest, plan);
    const report: PlanReport = {
      weights: opened.name,
      format: manifest.format,
      bytes: opened.bytes,
      tensors: manifest.tensors.length,
      storages: manifest.storages.length,
      layoutDigest: layoutDigest(manifest),
      segments: plan.segments,
      shards: shardsOf(manifest),
      reads,
      owners: [{ nodeRank: 0, bytes: reads.reduce((sum, { nbytes }) => sum + nbytes, 0) + plan.mappedBytes }],
      mappedBytes: plan.mappedBytes,
      copiedBytes: plan.copiedBytes,
      memoryPerNodeBytes: plan.mappedBytes + plan.copiedBytes,
    };
    return { report, text: explainPlan(manifest, plan) };
  } finally {
    await opened.close();
  }
}

function shardsOf({ sources, storages, tensors }: StateDictManifest): PlanReport["shards"] {
  const counts = sources.map(() => 0);
  for (const { storage } of tensors) {
    const files = new Set(storages[storage]?.pieces.flatMap(({ extent }) => (extent.type === "range" ? [extent.source] : [])));
    for (const source of files) counts[source] = (counts[source] ?? 0) + 1;
  }
  return sources.map(({ name, version }, index) => ({ name, bytes: version.sizeBytes, tensors: counts[index] ?? 0, owner: 0 }));
}
