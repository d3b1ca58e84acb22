/** A question to a node, over a connection of its own: how much of what is missing here it has. */
import type { ChunkSet } from "@rankcast/core/runtime";
import { ChunkIntake, type ChunkTarget } from "./chunk-intake.ts";
import { encodeHead } from "./frame.ts";
import { FrameParser } from "./frame-parser.ts";
import type { Lane, LaneConnection } from "./lane.ts";
import type { PullTerms } from "./pull-connection.ts";

const NOTHING = (): void => undefined;

/** Asks how many chunks of `want` a node has; null when it cannot be asked. `answer` is called once, or never after `close`. */
export function openProbe(
  lane: Lane,
  address: string,
  terms: PullTerms,
  want: ChunkSet,
  target: ChunkTarget,
  answer: (available: number | null) => void,
): { close(): void } {
  let connection: LaneConnection | null = null;
  let over = false;
  const close = (): void => {
    over = true;
    connection?.destroy();
  };
  const end = (available: number | null): void => {
    if (over) return;
    close();
    answer(available);
  };
  const parser = new FrameParser(
    new ChunkIntake({ ...target, missing: () => false }, { onChunk: NOTHING, onCorrupt: NOTHING, onHave: end }, terms.digest),
  );
  const feed = (bytes: Uint8Array): void => {
    try {
      if (!over) parser.feed(bytes);
    } catch {
      end(null);
    }
  };
  lane.connect(address).then(
    (opened) => {
      connection = opened;
      if (over) opened.destroy();
      opened.start({ onBytes: feed, onClose: () => end(null) });
      const payload = want.toBytes();
      const head = encodeHead({ type: "probe", digest: terms.digest, number: terms.nodeRank, payloadBytes: payload.length });
      opened.write([head, payload], NOTHING);
    },
    () => end(null),
  );
  return { close };
}
