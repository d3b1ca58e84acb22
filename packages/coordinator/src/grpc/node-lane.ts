/** The coordinator's end of a rank's lane: the messages of the stream as frames on a socket of their own. */
import type { Socket } from "node:net";
import { type CoordinatorMessage, FrameReader, FrameWriter, LANE_MESSAGES, type RankMessage } from "@rankcast/proto";
import { MESSAGE_BYTES_MAX } from "./stream-limits.ts";

/** How long a rank may take to close its side, once this one has. */
const END_GRACE_MS = 2000;

/** One lane. */
export interface NodeLane {
  /** Queues a message; messages of one turn leave together at its end, and one that all ranks are told is encoded once. */
  send(message: CoordinatorMessage): void;
  /** Ends our side after everything queued was sent; cuts it when the other does not end. */
  end(): void;
}

/** What the owner of a lane hears. */
export interface NodeLaneListener {
  onMessage(message: RankMessage): void;
  /** What came could not be taken: not a message, or `onMessage` threw. Nothing more is read. */
  onBroken(error: unknown): void;
  /** Once, when nothing more will come. */
  onEnd(): void;
}

/** Takes a socket, at the first byte behind the ticket. */
export function takeNodeLane(socket: Socket, listener: NodeLaneListener): NodeLane {
  const reader = new FrameReader(MESSAGE_BYTES_MAX, (frame) => listener.onMessage(LANE_MESSAGES.requestDeserialize(frame)));
  const writer = new FrameWriter(socket);
  let grace: NodeJS.Timeout | undefined;
  let over = false;
  const finish = (): void => {
    if (!over) listener.onEnd();
    over = true;
  };
  socket.on("data", (bytes: Buffer) => {
    if (over) return;
    try {
      reader.feed(bytes);
    } catch (error) {
      over = true;
      listener.onBroken(error);
    }
  });
  socket.on("end", finish);
  socket.on("close", () => {
    clearTimeout(grace);
    finish();
  });
  return {
    send: (message) => writer.write(LANE_MESSAGES.responseFrame(message)),
    end() {
      writer.flush();
      socket.end();
      grace ??= setTimeout(() => socket.destroy(), END_GRACE_MS);
    },
  };
}
