/** Where a node's ranks are heard: a gRPC server that they join by, and the lanes that their messages take from then on. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Socket } from "node:net";
import { type ServiceDefinition, status } from "@grpc/grpc-js";
import { COORDINATION_SERVICE, type CoordinatorMessage, type Hello, type RankMessage } from "@rankcast/proto";

export {
  type Arrive,
  type CoordinatorMessage,
  type Hello,
  type LoadRequest,
  type Offer,
  PROTOCOL_VERSION,
  type Publication,
  type RankMessage,
  type Subscribe,
  type Taken,
  type Unsubscribe,
  type WireError,
} from "@rankcast/proto";

import { makeInjectedServer } from "./injected-server.ts";
import { LaneTickets } from "./lane-tickets.ts";
import { type DoorLimits, openRankDoor } from "./rank-door.ts";
import { failCall, type RankCall, RankStream } from "./rank-stream.ts";

/** Another node, as far as messages to its ranks go. */
export interface FarNode {
  readonly nodeRank: number;
  /** Says something to every rank of that node at once. */
  sendToRanks(message: CoordinatorMessage): void;
}

/** One rank, after its hello, whatever carries what it says. */
export interface RankConnection {
  readonly hello: Hello;
  /** Where the rank is; absent on this node. */
  readonly far?: FarNode;
  send(message: CoordinatorMessage): void;
  /** Ends the stream with a refusal the rank will see as a typed error. */
  refuse(kind: "protocol" | "duplicate", text: string): void;
  /** Ends the stream in order. */
  end(): void;
}

/** What the owner of the server hears. Calls for one connection come in the order of the stream. */
export interface ConnectionListener {
  onJoin(connection: RankConnection): void;
  onMessage(connection: RankConnection, message: RankMessage): void;
  /** Once per joined connection, when its stream is over. `reason` is read behind the rank's name; left out: it has ended. */
  onEnd(connection: RankConnection, reason?: string): void;
}

/** A bound server. */
export interface CoordinationServer {
  /** Stops accepting, ends streams, waits at most two seconds, then cuts. */
  close(): Promise<void>;
}

/** How to serve. */
export interface ServingOptions {
  /** Replaces what ranks say: some launchers do not tell them. */
  readonly nodeRank?: number | undefined;
  /** Whether ranks that can are given a lane. Default true. */
  readonly lanes?: boolean;
  readonly limits?: Partial<DoorLimits>;
}

/**
 * Listens on `address` (`unix:/path`). Streams without the job's token learn nothing and change nothing.
 * @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE when the address cannot be bound.
 */
export async function startCoordinationServer(
  address: string,
  token: string,
  listener: ConnectionListener,
  { nodeRank, lanes = true, limits }: ServingOptions = {},
): Promise<CoordinationServer> {
  const { server, inject, close } = makeInjectedServer({ "grpc.max_concurrent_streams": 16 });
  const tickets = new LaneTickets<RankStream>();
  const terms: Terms = { listener, nodeRank, expected: digestOf(token), tickets: lanes ? tickets : null };
  server.addService(COORDINATION_SERVICE as unknown as ServiceDefinition, { join: (call: RankCall) => serve(call, terms) });
  const onLane = (socket: Socket, ticket: Buffer): boolean => {
    const holder = tickets.take(ticket);
    holder?.takeLane(socket);
    return holder !== null;
  };
  const door = await openRankDoor(address, { onStream: inject, onLane }, limits);
  return {
    async close() {
      door.shut();
      await close();
      door.cut();
    },
  };
}

function digestOf(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

interface Terms {
  readonly listener: ConnectionListener;
  readonly nodeRank: number | undefined;
  /** Digest of the token. */
  readonly expected: Buffer;
  /** Null: lanes are not given out. */
  readonly tickets: LaneTickets<RankStream> | null;
}

function serve(call: RankCall, { listener, nodeRank, expected, tickets }: Terms): void {
  let stream: RankStream | null = null;
  let refused = false;
  const refuse = (code: status, text: string): void => {
    refused = true;
    failCall(call, code, text);
  };
  call.on("data", (message: RankMessage) => {
    if (refused) return;
    if (stream) stream.hear(message);
    else if (message.type !== "hello") refuse(status.INVALID_ARGUMENT, "the first message of a stream must be hello");
    else if (!isExpected(message, expected)) refuse(status.UNAUTHENTICATED, "the job's token is missing or wrong");
    else {
      stream = new RankStream(call, admitted(message, nodeRank), listener, message.takesLane ? tickets : null);
      stream.join();
    }
  });
  const ended = (): void => stream?.streamEnded();
  call.on("end", () => {
    ended();
    call.end();
  });
  call.on("cancelled", ended);
  call.on("close", ended);
  call.on("error", ended);
}

/** Both sides are hashed to one length: timingSafeEqual throws on unequal lengths, which would tell the token's length. */
function isExpected({ token = "" }: Hello, expected: Buffer): boolean {
  return timingSafeEqual(digestOf(token), expected);
}

/** The hello without its secret, which has served its purpose, and what only this connection is about. */
function admitted({ token: _token, takesLane: _takesLane, ...hello }: Hello, nodeRank: number | undefined): Hello {
  return nodeRank === undefined ? hello : { ...hello, nodeRank };
}
