/** The coordinator's gRPC server. The only file of this package that knows gRPC and the wire contract's service. */
import { createHash, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import { type ServerDuplexStream, type ServiceDefinition, status } from "@grpc/grpc-js";
import { DistributionError } from "@rankcast/core";
import { asCheckpointError, uniqueTag } from "@rankcast/core/runtime";
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

/** Tells ranks whom to look at when nothing is heard: whoever they are connected to, which is not always who decides. */
const INCARNATION = uniqueTag();

/** Another node, as far as messages to its ranks go. */
export interface FarNode {
  readonly nodeRank: number;
  /** Says something to every rank of that node at once. */
  sendToRanks(message: CoordinatorMessage): void;
}

/** One rank's stream, after its hello. */
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

type Call = ServerDuplexStream<RankMessage, CoordinatorMessage>;

/**
 * Listens on `address` (`unix:/path`). Streams without the job's token learn nothing and change nothing. Where `nodeRank` is given it
 * replaces what ranks say: some launchers do not tell them.
 * @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE when the address cannot be bound.
 */
export async function startCoordinationServer(
  address: string,
  token: string,
  listener: ConnectionListener,
  nodeRank?: number,
): Promise<CoordinationServer> {
  const { server, inject, close } = makeInjectedServer({ "grpc.max_concurrent_streams": 16 });
  const expected = digestOf(token);
  server.addService(COORDINATION_SERVICE as unknown as ServiceDefinition, {
    join: (call: Call) => serve(call, { listener, nodeRank, expected }),
  });
  const door = createServer(inject);
  try {
    door.listen({ path: address.replace(/^unix:/, "") });
    await once(door, "listening");
  } catch (cause) {
    throw new DistributionError("RANKCAST_COORDINATOR_UNREACHABLE", `cannot listen on ${address}`, { details: { address }, cause });
  }
  return {
    async close() {
      door.close();
      await close();
    },
  };
}

function digestOf(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

function fail(call: Call, code: status, details: string): void {
  call.emit("error", { code, details });
}

interface Terms {
  readonly listener: ConnectionListener;
  readonly nodeRank: number | undefined;
  /** Digest of the token. */
  readonly expected: Buffer;
}

function serve(call: Call, { listener, nodeRank, expected }: Terms): void {
  let connection: RankConnection | null = null;
  let over = false;
  const finish = (): void => {
    if (over) return;
    over = true;
    if (connection) listener.onEnd(connection);
  };
  call.on("data", (message: RankMessage) => {
    if (over) return;
    try {
      if (connection) listener.onMessage(connection, message);
      else if (message.type === "hello" && !isExpected(message, expected)) {
        over = true;
        fail(call, status.UNAUTHENTICATED, "the job's token is missing or wrong");
      } else if (message.type === "hello") {
        connection = connect(call, admitted(message, nodeRank), finish);
        listener.onJoin(connection);
      } else fail(call, status.INVALID_ARGUMENT, "the first message of a stream must be hello");
    } catch (error) {
      // A message we cannot act on must end the stream: going on would leave a barrier without an arrival.
      fail(call, status.INVALID_ARGUMENT, asCheckpointError(error).message);
      finish();
    }
  });
  call.on("end", () => {
    finish();
    call.end();
  });
  call.on("cancelled", finish);
  call.on("close", finish);
  call.on("error", finish);
}

/** Both sides are hashed to one length: timingSafeEqual throws on unequal lengths, which would tell the token's length. */
function isExpected({ token = "" }: Hello, expected: Buffer): boolean {
  return timingSafeEqual(digestOf(token), expected);
}

/** The hello without its secret, which has served its purpose. */
function admitted({ token: _, ...hello }: Hello, nodeRank: number | undefined): Hello {
  return nodeRank === undefined ? hello : { ...hello, nodeRank };
}

function connect(call: Call, hello: Hello, finish: () => void): RankConnection {
  return {
    hello,
    send: (message) => void call.write(message.type === "welcome" ? { ...message, incarnation: INCARNATION } : message),
    refuse(kind, text) {
      fail(call, kind === "duplicate" ? status.ALREADY_EXISTS : status.INVALID_ARGUMENT, text);
      finish();
    },
    end: () => call.end(),
  };
}
