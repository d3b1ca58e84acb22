/** Nodes of a broadcast inside one thread: the real filling and serving sides over a lane of memory. */
import { readFileSync } from "node:fs";
import { FillSide, ServeSide, type ThreadMessage } from "@rankcast/coordinator/internal";
import { compileLimits } from "@rankcast/core";
import {
  type BroadcastOffer,
  broadcastKey,
  createMemorySegment,
  fromErrorRecord,
  nativeMemory,
  type SegmentDescriptor,
} from "@rankcast/core/internal";
import type { MemoryLane } from "./memory-lane.ts";

/** One node. */
export interface MemoryNode {
  readonly address: string;
  /** What its threads would have told the coordinator. */
  readonly told: readonly ThreadMessage[];
  offer(offer: BroadcastOffer, descriptors: readonly SegmentDescriptor[]): void;
  /** The bytes of all segments. */
  receive(offer: BroadcastOffer): Promise<Buffer>;
  close(): Promise<void>;
}

/** Times of tests: short enough to wait for. */
export const TEST_BOUNDS = { creditBytes: 2 ** 20, stallMs: 2000, giveUpMs: 5000, chunks: compileLimits().broadcastChunks };

/** Starts a node. */
export async function startMemoryNode(lane: MemoryLane, nodeRank: number, bounds: Partial<typeof TEST_BOUNDS> = {}): Promise<MemoryNode> {
  const address = `node-${nodeRank}`;
  const waiting = new Map<string, { resolve(bytes: Buffer): void; reject(error: Error): void }>();
  const told: ThreadMessage[] = [];
  const tell = (message: ThreadMessage): void => {
    told.push(message);
    if (message.type === "complete")
      waiting.get(message.key)?.resolve(Buffer.concat(message.arrived.descriptors.map(({ path }) => readFileSync(path))));
    if (message.type === "failed") waiting.get(message.key)?.reject(fromErrorRecord(message.error));
  };
  const all = { ...TEST_BOUNDS, ...bounds };
  const serve = new ServeSide({ bounds: all, noMmap: false }, tell);
  await serve.listen(lane, address);
  const fill = new FillSide({ lane, noMmap: false, bounds: all, tell, serve: (command) => serve.take(command) });
  return {
    address,
    told,
    offer: (offer, descriptors) => fill.take({ type: "offer", offer, descriptors, held: null }),
    receive: (offer) =>
      new Promise((resolve, reject) => {
        waiting.set(broadcastKey(offer.id), { resolve, reject });
        fill.take({ type: "receive", offer, nodeRank, striped: false, kept: null });
      }),
    close: async () => {
      fill.take({ type: "close" });
      await serve.close();
    },
  };
}

const made = new WeakMap<Uint8Array, SegmentDescriptor>();

/** A segment in memory that holds these bytes: one for each array, there until the process ends. */
export function segmentOf(bytes: Uint8Array): SegmentDescriptor {
  const known = made.get(bytes);
  if (known) return known;
  const segment = createMemorySegment(bytes.length, nativeMemory(false));
  new Uint8Array(segment.buffer).set(bytes);
  const descriptor = segment.publish();
  made.set(bytes, descriptor);
  return descriptor;
}
