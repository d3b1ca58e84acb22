/** What a load would do, for programs and for `rankcast plan`. Reads no tensor bytes. */

import { layoutDigest } from "../manifest/manifest-digest.ts";
import { explainPlan } from "../plan/explain-plan.ts";
import type { SegmentPlan } from "../plan/load-plan.ts";
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
    const report: PlanReport = {
      weights: opened.name,
      format: manifest.format,
      bytes: opened.bytes,
      tensors: manifest.tensors.length,
      storages: manifest.storages.length,
      layoutDigest: layoutDigest(manifest),
      segments: plan.segments,
      mappedBytes: plan.mappedBytes,
      copiedBytes: plan.copiedBytes,
      memoryPerNodeBytes: plan.mappedBytes + plan.copiedBytes,
    };
    return { report, text: explainPlan(manifest, plan) };
  } finally {
    await opened.close();
  }
}
