/** Messages between nodes to protobuf bytes and back. */
import type { HeadMessage, NodeJoin, NodeMessage } from "./cluster-messages.ts";
import {
  asBuffer,
  causeIn,
  coordinatorMessageOf,
  coordinatorShape,
  decode,
  errorIn,
  errorOut,
  fromJson,
  rankMessageOf,
  rankShape,
  toJson,
  WireFormatError,
  withOptional,
} from "./codec.ts";
import { rankcast } from "./generated/rankcast.js";

const { FromNode, ToNode } = rankcast.v1;

/** Protobuf bytes of a node's message. */
export function encodeNodeMessage(message: NodeMessage): Buffer {
  return asBuffer(FromNode.encode(nodeShape(message)).finish());
}

function nodeShape(message: NodeMessage): rankcast.v1.FromNode.$Properties {
  switch (message.type) {
    case "join": {
      const { nodeCount, nodeRank, ranks, epoch, ...rest } = message;
      return {
        join: {
          ...rest,
          nodeCount: nodeCount ?? 0,
          nodeRankPlusOne: nodeRank === null ? 0 : nodeRank + 1,
          ranks: [...(ranks ?? [])],
          epoch: epoch ?? -1,
        },
      };
    }
    case "report":
      return { report: { epoch: message.epoch, failure: errorOut(message.failure) } };
    case "abort":
      return { abort: { cause: errorOut(message.cause) } };
    case "heartbeat":
      return { heartbeat: {} };
    case "rank":
      return { rank: { rank: message.rank, message: rankShape(message.message), also: [...(message.also ?? [])] } };
    case "gone":
      return { gone: { rank: message.rank, reason: message.reason ?? "" } };
    case "ready":
      return { ready: { sequence: message.sequence, facts: toJson(message.facts) } };
    case "failed":
      return { failed: { sequence: message.sequence, cause: errorOut(message.cause) } };
    case "owned": {
      const { sequence, rank, manifest, placement } = message;
      return { owned: { sequence, rank, manifest, placement: toJson(placement) } };
    }
    case "liveBrought": {
      const { sequence, segments, set, cause } = message;
      return { liveBrought: { sequence, segments: toJson(segments), set, cause: errorOut(cause) } };
    }
    case "liveEncoded":
      return { liveEncoded: { sequence: message.sequence, segment: toJson(message.segment) } };
  }
}

/** A node's message from protobuf bytes. @throws {WireFormatError} when the bytes are no message of this contract. */
export function decodeNodeMessage(bytes: Uint8Array): NodeMessage {
  const wire = decode(() => FromNode.decode(bytes));
  switch (wire.message) {
    case "join":
      return joinOf(wire.join);
    case "report":
      return withOptional({ type: "report", epoch: wire.report.epoch ?? 0 }, { failure: errorIn(wire.report.failure) });
    case "abort":
      return { type: "abort", cause: causeIn(wire.abort.cause) };
    case "heartbeat":
      return { type: "heartbeat" };
    case "rank":
      return rankSaysOf(wire.rank);
    case "gone":
      return withOptional({ type: "gone", rank: wire.gone.rank ?? 0 }, { reason: wire.gone.reason || undefined });
    case "ready":
      return { type: "ready", sequence: wire.ready.sequence ?? 0, facts: fromJson(wire.ready.facts) };
    case "failed":
      return { type: "failed", sequence: wire.failed.sequence ?? 0, cause: causeIn(wire.failed.cause) };
    case "owned": {
      const { sequence, rank, manifest, placement } = wire.owned;
      return { type: "owned", sequence: sequence ?? 0, rank: rank ?? 0, manifest: copied(manifest), placement: fromJson(placement) };
    }
    case "liveBrought": {
      const { sequence, segments, set, cause } = wire.liveBrought;
      const brought = { type: "liveBrought", sequence: sequence ?? 0, segments: fromJson(segments), set: set ?? "" } as const;
      return withOptional(brought, { cause: errorIn(cause) });
    }
    case "liveEncoded":
      return { type: "liveEncoded", sequence: wire.liveEncoded.sequence ?? 0, segment: fromJson(wire.liveEncoded.segment) };
    default:
      throw new WireFormatError("a node sent a message of an unknown kind");
  }
}

function rankSaysOf({ rank, message, also }: rankcast.v1.RankSays.$Properties): NodeMessage {
  const said = { type: "rank", rank: rank ?? 0, message: rankMessageOf(present(message) as rankcast.v1.FromRank.$Shape) } as const;
  return also && also.length > 0 ? { ...said, also } : said;
}

function joinOf(wire: rankcast.v1.NodeJoin.$Properties): NodeJoin {
  const { nodeCount, nodeRankPlusOne, ranks, epoch } = wire;
  return {
    type: "join",
    nodeId: wire.nodeId ?? "",
    jobId: wire.jobId ?? "",
    protocol: wire.protocol ?? 0,
    nodeCount: nodeCount || null,
    nodeRank: nodeRankPlusOne ? nodeRankPlusOne - 1 : null,
    host: wire.host ?? "",
    pid: wire.pid ?? 0,
    address: wire.address ?? "",
    localWorldSize: wire.localWorldSize ?? 0,
    ranks: ranks && ranks.length > 0 ? ranks : null,
    epoch: epoch === undefined || epoch === null || epoch < 0 ? null : epoch,
    worldSize: wire.worldSize ?? 0,
  };
}

/** Protobuf bytes of the head's message. */
export function encodeHeadMessage(message: HeadMessage): Buffer {
  return asBuffer(ToNode.encode(headShape(message)).finish());
}

function headShape(message: HeadMessage): rankcast.v1.ToNode.$Properties {
  switch (message.type) {
    case "wait":
      return { wait: message };
    case "start":
      return { start: { membership: toJson(message.membership) } };
    case "restart":
      return { restart: { epoch: message.epoch, cause: errorOut(message.cause) } };
    case "end":
      return { end: { cause: errorOut(message.cause) } };
    case "refused":
      return { refused: { cause: errorOut(message.cause) } };
    case "heartbeat":
      return { heartbeat: {} };
    case "rank":
      return { rank: { rankPlusOne: message.rank === null ? 0 : message.rank + 1, message: coordinatorShape(message.message) } };
    case "rankRefused":
      return { rankRefused: message };
    case "offer": {
      const { sequence, offer, manifest, placement } = message;
      return { offer: { sequence, offer: toJson(offer), manifest, placement: toJson(placement) } };
    }
    case "release":
      return { release: { sequence: message.sequence } };
    case "over":
      return { over: { sequence: message.sequence, passed: message.passed } };
    case "liveServe": {
      const { sequence, offer, segments } = message;
      return { liveServe: { sequence, offer: toJson(offer), segments: toJson(segments) } };
    }
    case "liveBring":
      return { liveBring: { sequence: message.sequence, offer: toJson(message.offer), kept: toJson(message.kept) } };
    case "liveEncode":
      return { liveEncode: { sequence: message.sequence, source: toJson(message.source) } };
    case "liveDrop":
      return { liveDrop: { sequence: message.sequence } };
  }
}

/** The head's message from protobuf bytes. @throws {WireFormatError} when the bytes are no message of this contract. */
export function decodeHeadMessage(bytes: Uint8Array): HeadMessage {
  const wire = decode(() => ToNode.decode(bytes));
  switch (wire.message) {
    case "wait":
      return { type: "wait", epoch: wire.wait.epoch ?? 0, joined: wire.wait.joined ?? 0, nodeCount: wire.wait.nodeCount ?? 0 };
    case "start":
      return { type: "start", membership: fromJson(wire.start.membership) };
    case "restart":
      return { type: "restart", epoch: wire.restart.epoch ?? 0, cause: causeIn(wire.restart.cause) };
    case "end":
      return withOptional({ type: "end" }, { cause: errorIn(wire.end.cause) });
    case "refused":
      return { type: "refused", cause: causeIn(wire.refused.cause) };
    case "heartbeat":
      return { type: "heartbeat" };
    case "rank": {
      const { rankPlusOne, message } = wire.rank;
      return { type: "rank", rank: rankPlusOne ? rankPlusOne - 1 : null, message: coordinatorMessageOf(present(message)) };
    }
    case "rankRefused": {
      const { rank, kind, text } = wire.rankRefused;
      return { type: "rankRefused", rank: rank ?? 0, kind: kind === "duplicate" || kind === "protocol" ? kind : "", text: text ?? "" };
    }
    case "offer": {
      const { sequence, offer, manifest, placement } = wire.offer;
      return { type: "offer", sequence: sequence ?? 0, offer: fromJson(offer), manifest: copied(manifest), placement: fromJson(placement) };
    }
    case "release":
      return { type: "release", sequence: wire.release.sequence ?? 0 };
    case "over":
      return { type: "over", sequence: wire.over.sequence ?? 0, passed: wire.over.passed ?? false };
    case "liveServe": {
      const { sequence, offer, segments } = wire.liveServe;
      return { type: "liveServe", sequence: sequence ?? 0, offer: fromJson(offer), segments: fromJson(segments) };
    }
    case "liveBring":
      return {
        type: "liveBring",
        sequence: wire.liveBring.sequence ?? 0,
        offer: fromJson(wire.liveBring.offer),
        kept: fromJson(wire.liveBring.kept) ?? null,
      };
    case "liveEncode":
      return { type: "liveEncode", sequence: wire.liveEncode.sequence ?? 0, source: fromJson(wire.liveEncode.source) };
    case "liveDrop":
      return { type: "liveDrop", sequence: wire.liveDrop.sequence ?? 0 };
    default:
      throw new WireFormatError("the head node sent a message of an unknown kind");
  }
}

/** protobufjs hands out a view of the receive buffer, which would keep the whole buffer alive. */
function copied(bytes: Uint8Array | null | undefined): Uint8Array {
  return Uint8Array.from(bytes ?? []);
}

function present<T>(message: T | null | undefined): T {
  if (message === null || message === undefined) throw new WireFormatError("a message that carries another one is empty");
  return message;
}
