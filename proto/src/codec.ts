/** Messages to protobuf bytes and back. The only place that knows the generated classes. */
import { Writer } from "protobufjs/minimal.js";
import { FRAME_HEAD_BYTES } from "./frame.ts";
import { rankcast } from "./generated/rankcast.js";
import type { Arrive, CoordinatorMessage, Decision, RankMessage, WireError } from "./messages.ts";
import { decodePlainArrival, decodePlainDecision, encodePlainArrival } from "./plain-barrier.ts";

const { FromRank, ToRank } = rankcast.v1;
type WireErrorShape = rankcast.v1.ErrorRecord.$Properties;

/** Thrown when bytes are no message of this contract; the stream must end, because dropping a message could hang a barrier. */
export class WireFormatError extends Error {
  override readonly name = "WireFormatError";
}

const EMPTY = new Uint8Array(0);

/** A JSON value as bytes; nothing for undefined. */
export const toJson = (value: unknown): Uint8Array => (value === undefined ? EMPTY : Buffer.from(JSON.stringify(value)));

/** The JSON value of bytes; undefined for none. @throws {WireFormatError} when they are no JSON. */
export function fromJson(bytes: Uint8Array | null | undefined): unknown {
  if (!bytes || bytes.length === 0) return undefined;
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8"));
  } catch (cause) {
    throw new WireFormatError("a JSON field of a message is not JSON", { cause });
  }
}

/** An error in the generated shape. */
export const errorOut = (error: WireError | undefined): WireErrorShape | null =>
  error ? { code: error.code, message: error.message, record: toJson(error.record) } : null;
/** An error of the generated shape. */
export const errorIn = (error: WireErrorShape | null | undefined): WireError | undefined =>
  error ? { code: error.code ?? "", message: error.message ?? "", record: fromJson(error.record) } : undefined;

/** The same where there must be one. */
export const causeIn = (error: WireErrorShape | null | undefined): WireError =>
  errorIn(error) ?? { code: "", message: "no cause was given", record: undefined };

/** Protobuf bytes of a rank's message. */
export function encodeRankMessage(message: RankMessage): Buffer {
  return encodeRankFrame(message).subarray(FRAME_HEAD_BYTES);
}

/** A rank's message as a frame of its lane. */
export function encodeRankFrame(message: RankMessage): Buffer {
  const plain = message.type === "arrive" ? encodePlainArrival(message) : null;
  return plain ?? finishFrame(FromRank.encode(rankShape(message), beginFrame()));
}

/** Room for the length comes first, so that a large manifest is not copied to get it. */
const beginFrame = (): Writer => Writer.create().fixed32(0);

function finishFrame(writer: Writer): Buffer {
  const frame = asBuffer(writer.finish());
  frame.writeUInt32LE(frame.length - FRAME_HEAD_BYTES);
  return frame;
}

/** The same memory as a Buffer: what a writer has finished is its own, and a manifest is not copied once more. */
export function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

/** A rank's message in the generated shape. */
export function rankShape(message: RankMessage): rankcast.v1.FromRank.$Properties {
  switch (message.type) {
    case "hello":
      return { hello: message };
    case "arrive": {
      const { barrier, generation, digest } = message;
      const { failure, payload, timeoutMs = 0 } = message;
      return { arrive: { barrier, generation, digest, failure: errorOut(failure), payload: toJson(payload), timeoutMs } };
    }
    case "load":
      return { load: { sequence: message.sequence, weights: message.weights, options: toJson(message.options), digest: message.digest } };
    case "publication":
      return { publication: { sequence: message.sequence, manifest: message.manifest, placement: toJson(message.placement) } };
    case "progress":
      return { progress: { phase: message.phase } };
    case "abort":
      return { abort: { cause: errorOut(message.cause) } };
    case "leave":
      return { leave: {} };
    case "offer":
      return { offer: { ...message, placement: toJson(message.placement) } };
    case "subscribe":
      return { subscribe: message };
    case "taken":
      return { taken: { ...message, beside: [...message.beside] } };
    case "unsubscribe":
      return { unsubscribe: message };
  }
}

/** A rank's message from protobuf bytes. @throws {WireFormatError} when the bytes are no message of this contract. */
export function decodeRankMessage(bytes: Uint8Array): RankMessage {
  return decodePlainArrival(bytes) ?? rankMessageOf(decode(() => FromRank.decode(bytes)));
}

/** A rank's message of the generated shape. @throws {WireFormatError} for one of an unknown kind. */
export function rankMessageOf(wire: rankcast.v1.FromRank.$Shape): RankMessage {
  switch (wire.message) {
    case "hello": {
      const { token, takesLane, takesArriving } = wire.hello;
      const given = { token: token || undefined, takesLane: takesLane || undefined, takesArriving: takesArriving || undefined };
      return withOptional({ type: "hello", ...fill(HELLO_DEFAULTS, wire.hello) }, given);
    }
    case "arrive":
      return arriveIn(wire.arrive);
    case "load": {
      const { sequence, weights, options, digest } = wire.load;
      return { type: "load", sequence: sequence ?? 0, weights: weights ?? "", options: fromJson(options), digest: digest ?? "" };
    }
    case "publication":
      return { type: "publication", ...publicationIn(wire.publication) };
    case "progress":
      return { type: "progress", phase: wire.progress.phase ?? "" };
    case "abort":
      return { type: "abort", cause: causeIn(wire.abort.cause) };
    case "leave":
      return { type: "leave" };
    case "offer":
      return { type: "offer", ...fill({ offer: 0, version: "" }, wire.offer), ...weightsIn(wire.offer) };
    case "subscribe":
      return { type: "subscribe", ...fill({ subscription: 0, policy: "" }, wire.subscribe) };
    case "taken":
      return { type: "taken", ...fill({ subscription: 0, number: 0 }, wire.taken), beside: wire.taken.beside ?? [] };
    case "unsubscribe":
      return { type: "unsubscribe", subscription: wire.unsubscribe.subscription ?? 0 };
    default:
      throw new WireFormatError("a rank sent a message of an unknown kind");
  }
}

let latest: { readonly message: CoordinatorMessage; readonly frame: Buffer } | null = null;

/** Protobuf bytes of a coordinator's message; not to be written to. What all ranks are told in one turn is encoded once. */
export function encodeCoordinatorMessage(message: CoordinatorMessage): Buffer {
  return encodeCoordinatorFrame(message).subarray(FRAME_HEAD_BYTES);
}

/** A coordinator's message as a frame of a lane; not to be written to. What all ranks are told in one turn is encoded once. */
export function encodeCoordinatorFrame(message: CoordinatorMessage): Buffer {
  if (latest?.message === message) return latest.frame;
  const frame = finishFrame(ToRank.encode(coordinatorShape(message), beginFrame()));
  // Kept for this turn only: a manifest is large, and a message that is encoded later may have changed.
  if (latest === null) {
    setImmediate(() => {
      latest = null;
    });
  }
  latest = { message, frame };
  return frame;
}

/** A coordinator's message in the generated shape. */
export function coordinatorShape(message: CoordinatorMessage): rankcast.v1.ToRank.$Properties {
  switch (message.type) {
    case "welcome":
      return { welcome: message };
    case "laneOpen":
      return { laneOpen: {} };
    case "decision": {
      const { barrier, generation, passed } = message;
      const payload = message.payload === undefined ? null : toJson(message.payload);
      return { decision: { barrier, generation, passed, cause: errorOut(message.cause), payload } };
    }
    case "aborted":
      return { aborted: { cause: errorOut(message.cause) } };
    case "published":
      return { published: { sequence: message.sequence, manifest: message.manifest, placement: toJson(message.placement) } };
    case "arriving":
      return { arriving: { sequence: message.sequence, manifest: message.manifest, placement: toJson(message.placement) } };
    case "offered":
      return { offered: { ...message, placement: toJson(message.placement) } };
    case "newest":
      return { newest: message };
    case "freed":
      return { freed: message };
    case "subscriptionEnded":
      return { subscriptionEnded: { subscription: message.subscription, cause: errorOut(message.cause) } };
  }
}

/** A coordinator's message from protobuf bytes. @throws {WireFormatError} when the bytes are no message of this contract. */
export function decodeCoordinatorMessage(bytes: Uint8Array): CoordinatorMessage {
  return decodePlainDecision(bytes) ?? coordinatorMessageOf(decode(() => ToRank.decode(bytes)));
}

/** A coordinator's message of the generated shape. @throws {WireFormatError} for one of an unknown kind. */
export function coordinatorMessageOf(wire: rankcast.v1.ToRank.$Shape): CoordinatorMessage {
  switch (wire.message) {
    case "welcome":
      return withOptional(
        { type: "welcome", ...fill(WELCOME_DEFAULTS, wire.welcome) },
        { incarnation: wire.welcome.incarnation || undefined, laneTicket: ticketIn(wire.welcome.laneTicket) },
      );
    case "laneOpen":
      return { type: "laneOpen" };
    case "decision":
      return decisionIn(wire.decision);
    case "published":
      return { type: "published", ...publicationIn(wire.published) };
    case "arriving":
      return { type: "arriving", ...publicationIn(wire.arriving) };
    case "aborted":
      return { type: "aborted", cause: causeIn(wire.aborted.cause) };
    case "offered":
      return { type: "offered", ...fill(OFFERED_DEFAULTS, wire.offered), ...weightsIn(wire.offered) };
    case "newest":
      return { type: "newest", ...fill({ subscription: 0, number: 0 }, wire.newest) };
    case "freed":
      return { type: "freed", offer: wire.freed.offer ?? 0 };
    case "subscriptionEnded": {
      const { subscription, cause } = wire.subscriptionEnded;
      return { type: "subscriptionEnded", subscription: subscription ?? 0, cause: causeIn(cause) };
    }
    default:
      throw new WireFormatError("a coordinator sent a message of an unknown kind");
  }
}

/** Runs a generated decoder. @throws {WireFormatError} when the bytes are no message of this contract. */
export function decode<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new WireFormatError("the bytes are no protobuf message of this contract", { cause });
  }
}

const OFFERED_DEFAULTS = { subscription: 0, number: 0, version: "", ageMs: 0 };
const WELCOME_DEFAULTS = { protocol: 0, jobId: "", epoch: 0, nodeRank: 0, nodeCount: 0, barrierTimeoutMs: 0 };

const HELLO_DEFAULTS = {
  protocol: 0,
  jobId: "",
  epoch: 0,
  rank: 0,
  localRank: 0,
  nodeRank: 0,
  worldSize: 0,
  localWorldSize: 0,
  incarnation: "",
  pid: 0,
  host: "",
};

function fill<T extends object>(defaults: T, given: { readonly [key in keyof T]?: T[key] | null }): T {
  const filled = { ...defaults };
  for (const key of Object.keys(defaults) as (keyof T)[]) filled[key] = given[key] ?? defaults[key];
  return filled;
}

/** Most messages are arrivals and decisions that carry nothing else: objects that are written out are made several times as fast as copies. */
function arriveIn(wire: rankcast.v1.Arrive.$Properties): Arrive {
  const { failure, payload } = wire;
  const [barrier, generation, digest, timeoutMs] = [wire.barrier ?? "", wire.generation ?? 0, wire.digest ?? "", wire.timeoutMs ?? 0];
  const plain: Arrive =
    timeoutMs > 0 ? { type: "arrive", barrier, generation, digest, timeoutMs } : { type: "arrive", barrier, generation, digest };
  return failure || payload?.length ? withOptional(plain, { failure: errorIn(failure), payload: fromJson(payload) }) : plain;
}

function decisionIn(wire: rankcast.v1.Decision.$Properties): Decision {
  const { barrier, generation, passed, cause, payload } = wire;
  const plain = { type: "decision", barrier: barrier ?? "", generation: generation ?? 0, passed: passed ?? false } as const;
  return cause || payload?.length ? withOptional(plain, { cause: errorIn(cause), payload: fromJson(payload) }) : plain;
}

const ticketIn = (bytes: Uint8Array | null | undefined): Uint8Array | undefined => (bytes?.length ? Uint8Array.from(bytes) : undefined);

function publicationIn(wire: rankcast.v1.Published.$Properties): { sequence: number; manifest: Uint8Array; placement: unknown } {
  return { sequence: wire.sequence ?? 0, ...weightsIn(wire) };
}

function weightsIn(wire: { readonly manifest?: Uint8Array | null; readonly placement?: Uint8Array | null }): {
  manifest: Uint8Array;
  placement: unknown;
} {
  // Copied: protobufjs hands out a view of the receive buffer, which would keep the whole buffer alive.
  return { manifest: Uint8Array.from(wire.manifest ?? EMPTY), placement: fromJson(wire.placement) };
}

/** `required` with those fields of `optional` that are there. */
export function withOptional<T extends object, O extends object>(
  required: T,
  optional: O,
): T & { [key in keyof O]?: Exclude<O[key], undefined> } {
  const all = { ...required } as T & { [key in keyof O]?: Exclude<O[key], undefined> };
  for (const key of Object.keys(optional) as (keyof O)[]) {
    const value = optional[key];
    if (value !== undefined) Object.assign(all, { [key]: value });
  }
  return all;
}
