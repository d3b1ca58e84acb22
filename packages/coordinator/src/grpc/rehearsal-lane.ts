/** A lane to nobody: messages are written and read as on a socket, and stay in this process. For rehearsals. */
import { type CoordinatorMessage, FrameReader, FrameWriter, LANE_MESSAGES, type RankMessage } from "@rankcast/proto";
import { MESSAGE_BYTES_MAX } from "./stream-limits.ts";

/** Both ends of one. */
export interface RehearsalLane {
  /** What the rank says; it comes as it would from a socket. */
  say(message: RankMessage): void;
  /** What the coordinator says: encoded, and gone. */
  send(message: CoordinatorMessage): void;
}

/** Opens one. */
export function rehearsalLane(onMessage: (message: RankMessage) => void): RehearsalLane {
  const reader = new FrameReader(MESSAGE_BYTES_MAX, (frame) => onMessage(LANE_MESSAGES.requestDeserialize(frame)));
  const writer = new FrameWriter({ writable: true, cork: ignore, uncork: ignore, write: ignore });
  return {
    say: (message) => reader.feed(LANE_MESSAGES.requestFrame(message)),
    send: (message) => writer.write(LANE_MESSAGES.responseFrame(message)),
  };
}

function ignore(): void {
  // Nobody reads.
}
