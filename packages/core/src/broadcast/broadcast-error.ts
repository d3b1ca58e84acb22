/** What a failed broadcast says. */
import { DistributionError } from "../errors/checkpoint-error.ts";
import type { BroadcastId } from "./broadcast-offer.ts";
import type { ChunkLayout } from "./chunk-layout.ts";
import type { ReceiverFailure } from "./receiver-state.ts";

const SOURCES_NAMED_MAX = 8;

/** The error of a node that could not bring all bytes here. */
export function receiverError(id: BroadcastId, nodeRank: number, layout: ChunkLayout, failure: ReceiverFailure): DistributionError {
  const details = { nodeRank, epoch: id.epoch, sequence: id.sequence };
  if (failure.kind === "corrupt") {
    const { segment, offset, length } = layout.chunk(failure.chunk);
    return new DistributionError(
      "RANKCAST_BROADCAST_CORRUPT",
      `node ${nodeRank}: chunk ${failure.chunk} (segment ${segment}, offset ${offset}, ${length} bytes) came ${failure.times} times with a wrong checksum, last from node ${failure.source}`,
      { details: { ...details, chunk: failure.chunk, segment, offset, length, source: failure.source } },
    );
  }
  const { missing, silentMs, sources } = failure;
  const tried = sources
    .filter(({ reason }) => reason !== null)
    .slice(0, SOURCES_NAMED_MAX)
    .map((each) => `node ${each.nodeRank}: ${each.reason}`);
  return new DistributionError(
    "RANKCAST_BROADCAST_STALLED",
    `node ${nodeRank}: no byte of the broadcast for ${(silentMs / 1000).toFixed(1)} s, ${missing} of ${layout.count} chunks are missing${tried.length > 0 ? ` (${tried.join("; ")})` : ""}`,
    { details: { ...details, missing, chunks: layout.count, silentMs, sources: sources.map((each) => each.nodeRank) } },
  );
}

/** The error of a node whose receiver does not take what it asked for. */
export function stalledReceiverError(id: BroadcastId, nodeRank: number, receiver: number, silentMs: number): DistributionError {
  return new DistributionError(
    "RANKCAST_RECEIVER_STALLED",
    `node ${receiver} has taken no byte of the broadcast from node ${nodeRank} for ${(silentMs / 1000).toFixed(1)} s`,
    { details: { nodeRank, receiver, silentMs, epoch: id.epoch, sequence: id.sequence } },
  );
}
