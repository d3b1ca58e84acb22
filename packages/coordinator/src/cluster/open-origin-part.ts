/** A node's own access to weights that all nodes read together. */
import { DistributionError, type FetchOptions } from "@rankcast/core";
import { openWeights, planStripes, quote, type ReadStats } from "@rankcast/core/runtime";
import type { StripeReader } from "../broadcast/node-broadcast.ts";
import { type FetchListener, openOptions } from "../fetch/fetch-weights.ts";

/** See the module comment. */
export interface OriginPart {
  readonly read: StripeReader;
  /** What the origin was asked for by this node so far. */
  origin(): ReadStats;
  close(): Promise<void>;
}

/** Who opens, and what it must find. */
export interface PartTerms {
  readonly nodeRank: number;
  /** `StripePlan.digest` of the head. */
  readonly digest: string;
  readonly listener: FetchListener;
  readonly signal: AbortSignal;
}

/**
 * Opens the same weights as the head did: headers only, past the cache.
 * @throws {DistributionError} RANKCAST_NODES_DIFFER when this node sees another version or plans another layout; {SourceError}, {FormatError} as `openWeights`.
 */
export async function openOriginPart(weights: string, options: FetchOptions, terms: PartTerms): Promise<OriginPart> {
  const { nodeRank, digest, listener, signal } = terms;
  const opened = await openWeights(weights, { ...openOptions(options, listener, signal), access: "stripes-only" });
  try {
    const stripes = planStripes(opened);
    if (stripes?.digest !== digest) {
      const text = `node ${nodeRank} sees other weights than node 0 behind ${quote(opened.name)}`;
      throw new DistributionError("RANKCAST_NODES_DIFFER", text, { details: { nodes: [nodeRank] } });
    }
    return {
      read: (segment, offset, into, stop) => stripes.read(segment, offset, into, stop),
      origin: () => opened.origin(),
      close: () => opened.close(),
    };
  } catch (error) {
    await opened.close();
    throw error;
  }
}
