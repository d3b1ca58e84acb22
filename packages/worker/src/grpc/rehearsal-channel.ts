/**
 * A coordinator that agrees to everything, in this process: what a rank says and hears is written and read as on a lane, and goes nowhere. For
 * rehearsals.
 */
import { type CoordinatorMessage, FrameReader, FrameWriter, LANE_MESSAGES, PROTOCOL_VERSION, type RankMessage } from "@rankcast/proto";
import type { ChannelListener, CoordinatorChannel } from "./coordinator-channel.ts";
import { MESSAGE_BYTES_MAX } from "./message-bound.ts";

/** What it answers with. */
export interface RehearsedAnswers {
  /** msgpack manifest and JSON placement of the weights that every load gets. */
  readonly manifest: Uint8Array;
  readonly placement: unknown;
  /** JSON value of the last barrier. */
  readonly report: unknown;
}

/** A way to open such channels; each answer comes in a turn of its own. */
export function rehearsalChannel(
  answers: RehearsedAnswers,
): (address: string, token: string, listener: ChannelListener) => CoordinatorChannel {
  return (_address, _token, listener) => {
    const reader = new FrameReader(MESSAGE_BYTES_MAX, (frame) => listener.onMessage(LANE_MESSAGES.responseDeserialize(frame)));
    const writer = new FrameWriter({ writable: true, cork: ignore, uncork: ignore, write: ignore });
    return {
      send(message) {
        writer.write(LANE_MESSAGES.requestFrame(message));
        const answer = answerTo(message, answers);
        if (answer) setImmediate(() => reader.feed(LANE_MESSAGES.responseFrame(answer)));
      },
      close: async () => undefined,
      cut: ignore,
    };
  };
}

function answerTo(message: RankMessage, { manifest, placement, report }: RehearsedAnswers): CoordinatorMessage | null {
  switch (message.type) {
    case "hello": {
      const { jobId, epoch } = message;
      return { type: "welcome", protocol: PROTOCOL_VERSION, jobId, epoch, nodeRank: 0, nodeCount: 1 };
    }
    case "load":
      return { type: "published", sequence: message.sequence, manifest, placement };
    case "arrive": {
      const { barrier, generation } = message;
      const payload = barrier === "round/reported" ? { payload: report } : {};
      return { type: "decision", barrier, generation, passed: true, ...payload };
    }
    default:
      return null;
  }
}

function ignore(): void {
  // Nobody listens.
}
