/** The rank's end of its lane: the messages of the stream as frames on a socket of their own. */
import { connect } from "node:net";
import {
  type CoordinatorMessage,
  FrameLengthError,
  FrameReader,
  FrameWriter,
  LANE_MAGIC,
  LANE_MESSAGES,
  type RankMessage,
  WireFormatError,
} from "@rankcast/proto";
import { MESSAGE_BYTES_MAX } from "./message-bound.ts";

/** One lane. */
export interface RankLane {
  /** Queues a message; messages of one turn leave together at its end. */
  send(message: RankMessage): void;
  /** Ends our side after everything queued was sent. */
  end(): void;
  /** Ends it at once. */
  destroy(): void;
}

/** What the owner of a lane hears. */
export interface LaneListener {
  onMessage(message: CoordinatorMessage): void;
  /** Once, when the lane is over; an error only where what came was no message. */
  onEnd(error: Error | null): void;
}

/** What has been read is taken before the next read begins: one buffer serves all lanes of the thread. */
let buffer: Buffer | null = null;
const READ_BYTES = 64 * 1024;

/** Dials the coordinator at `address` once more and shows the ticket. Connection failures arrive at `listener.onEnd`. */
export function dialRankLane(address: string, ticket: Uint8Array, listener: LaneListener): RankLane {
  let failure: Error | null = null;
  const reader = new FrameReader(MESSAGE_BYTES_MAX, (frame) => listener.onMessage(LANE_MESSAGES.responseDeserialize(frame)));
  // Zeroed: NODE_DEBUG=net shows how it begins.
  buffer ??= Buffer.alloc(READ_BYTES);
  const callback = (count: number, bytes: Uint8Array): boolean => {
    try {
      reader.feed(bytes.subarray(0, count));
    } catch (error) {
      // What a listener throws is its own.
      if (!(error instanceof FrameLengthError || error instanceof WireFormatError)) throw error;
      failure = error;
      socket.destroy();
    }
    return true;
  };
  const socket = connect({ path: address.replace(/^unix:/, ""), onread: { buffer, callback } });
  const writer = new FrameWriter(socket);
  // Whatever ended the connection, the stream says why.
  socket.on("error", () => undefined);
  socket.on("close", () => listener.onEnd(failure));
  socket.write(Buffer.concat([LANE_MAGIC, ticket]));
  return {
    send: (message) => writer.write(LANE_MESSAGES.requestFrame(message)),
    end() {
      writer.flush();
      socket.end();
    },
    destroy: () => void socket.destroy(),
  };
}
