/** The filling thread: brings every chunk of a broadcast into segments, verified, and tells the serving thread which are there. */
import {
  type BroadcastOffer,
  type BroadcastPlan,
  broadcastKey,
  ChunkSet,
  contentDigest,
  createWrittenSegment,
  extendChecksum,
  nativeMemory,
  openSegmentBytes,
  planBroadcast,
  type SegmentDescriptor,
  startChecksum,
  toErrorRecord,
  type WrittenSegment,
} from "@rankcast/core/runtime";
import type { Lane } from "./lane.ts";
import { ReceiveDriver } from "./receive-driver.ts";
import type { BroadcastBounds, FillCommand, ServeCommand, ThreadMessage } from "./thread-message.ts";

/** What the filling thread stands on. */
export interface FillOptions {
  readonly lane: Lane;
  readonly noMmap: boolean;
  readonly bounds: BroadcastBounds;
  tell(message: ThreadMessage): void;
  serve(command: ServeCommand): void;
}

interface Filled {
  readonly offer: BroadcastOffer;
  readonly plan: BroadcastPlan;
  readonly digest: Uint8Array;
  readonly segments: readonly WrittenSegment[];
  readonly driver: ReceiveDriver | null;
  bytes: number;
  stopped: boolean;
  /** The serving thread has opened the segments by their numbers: only now may those be given back. */
  opened: boolean;
  released: boolean;
}

/** All that one node brings in. */
export class FillSide {
  readonly #options: FillOptions;
  readonly #byKey = new Map<string, Filled>();

  constructor(options: FillOptions) {
    this.#options = options;
  }

  /** What the coordinator says. */
  take(command: FillCommand): void {
    switch (command.type) {
      case "offer":
        this.#guard(command.offer, () => this.#offer(command.offer, command.descriptors));
        return;
      case "receive":
        this.#guard(command.offer, () => this.#receive(command.offer, command.nodeRank, command.striped));
        return;
      case "stripe":
        this.#takeStripe(command.key, command.chunk, command.bytes);
        return;
      case "cancel":
        this.#stop(command.key);
        return;
      case "release":
        this.#release(command.key, { released: true });
        return;
      case "end":
        this.#end(broadcastKey(command.id));
        return;
      case "close":
        for (const key of [...this.#byKey.keys()]) this.#end(key);
        this.#options.serve({ type: "close" });
    }
  }

  /** What the serving thread says. */
  opened(key: string): void {
    this.#release(key, { opened: true });
  }

  #release(key: string, change: { readonly opened?: boolean; readonly released?: boolean }): void {
    const filled = this.#byKey.get(key);
    if (filled === undefined) return;
    Object.assign(filled, change);
    if (filled.opened && filled.released) for (const segment of filled.segments) segment.release();
  }

  #guard(offer: BroadcastOffer, run: () => void): void {
    try {
      run();
    } catch (error) {
      const key = broadcastKey(offer.id);
      this.#end(key);
      this.#options.tell({ type: "failed", key, error: toErrorRecord(error) });
    }
  }

  /** Checksums chunk after chunk; each may be sent as soon as it has one, so sending overlaps with the rest of the pass. */
  #offer(offer: BroadcastOffer, descriptors: readonly SegmentDescriptor[]): void {
    const key = broadcastKey(offer.id);
    const filled = this.#add(offer, [], () => null);
    const { layout } = filled.plan;
    this.#options.serve({ type: "open", offer, descriptors });
    const native = nativeMemory(this.#options.noMmap);
    const sources = descriptors.map((descriptor) => openSegmentBytes(descriptor, native));
    const buffer = native === null ? Buffer.allocUnsafeSlow(offer.chunkBytes) : Buffer.alloc(0);
    let index = 0;
    const next = (): void => {
      if (index >= layout.count || filled.stopped) {
        for (const source of sources) source.close();
        if (index >= layout.count) this.#options.tell({ type: "complete", key, descriptors, roundTripMs: null });
        return;
      }
      const chunk = layout.chunk(index);
      const bytes = sources[chunk.segment]?.view(chunk.offset, chunk.length, () => buffer) ?? new Uint8Array(0);
      const checksum = extendChecksum(startChecksum(filled.digest, chunk), bytes);
      this.#options.serve({ type: "available", key, chunk: index, checksum });
      index += 1;
      setImmediate(() => this.#guard(offer, next));
    };
    next();
  }

  #receive(offer: BroadcastOffer, nodeRank: number, striped: boolean): void {
    const key = broadcastKey(offer.id);
    const { lane, bounds } = this.#options;
    const native = nativeMemory(this.#options.noMmap);
    const segments: WrittenSegment[] = [];
    try {
      for (const nbytes of offer.segmentBytes) segments.push(createWrittenSegment(Math.max(nbytes, 1), native));
    } catch (error) {
      for (const segment of segments) segment.release();
      throw error;
    }
    const filled = this.#add(offer, segments, (plan) => {
      return new ReceiveDriver(
        {
          offer,
          plan,
          nodeRank,
          lane,
          creditBytes: bounds.creditBytes,
          giveUpMs: bounds.giveUpMs,
          own: striped ? plan.node(nodeRank).own : ChunkSet.none(plan.layout.count),
          write: (segment, bytes, offset) => segments[segment]?.write(bytes, offset),
          nowMs: () => performance.now(),
        },
        {
          onChunk: (chunk, checksum) => {
            filled.bytes += plan.layout.chunk(chunk).length;
            this.#options.serve({ type: "available", key, chunk, checksum });
            this.#options.tell({ type: "progress", key, bytes: filled.bytes });
          },
          onSwitched: (from, to, reason) => this.#options.tell({ type: "switched", key, from, to, reason }),
          onComplete: () =>
            this.#guard(offer, () => {
              const roundTripMs = filled.driver?.roundTripMs ?? null;
              this.#options.tell({ type: "complete", key, descriptors: segments.map((segment) => segment.publish()), roundTripMs });
            }),
          onFailed: (error) => {
            this.#end(key);
            this.#options.tell({ type: "failed", key, error: toErrorRecord(error) });
          },
        },
      );
    });
    const descriptors = segments.map(({ path, nbytes }) => ({ kind: "memfd", path, nbytes }) as const);
    this.#options.serve({ type: "open", offer, descriptors });
    filled.driver?.start();
  }

  #takeStripe(key: string, index: number, bytes: Uint8Array): void {
    const filled = this.#byKey.get(key);
    if (filled === undefined || filled.driver === null || filled.stopped) return;
    this.#guard(filled.offer, () => {
      const chunk = filled.plan.layout.chunk(index);
      const checksum = extendChecksum(startChecksum(filled.digest, chunk), bytes);
      filled.segments[chunk.segment]?.write(bytes, chunk.offset);
      this.#options.tell({ type: "taken", key, chunk: index });
      filled.driver?.filled(index, checksum);
    });
  }

  #add(offer: BroadcastOffer, segments: readonly WrittenSegment[], drive: (plan: BroadcastPlan) => ReceiveDriver | null): Filled {
    const plan = planBroadcast(offer);
    const filled: Filled = {
      offer,
      plan,
      digest: contentDigest(offer),
      segments,
      driver: drive(plan),
      bytes: 0,
      stopped: false,
      opened: false,
      released: false,
    };
    this.#byKey.set(broadcastKey(offer.id), filled);
    return filled;
  }

  #stop(key: string): void {
    const filled = this.#byKey.get(key);
    if (filled === undefined) return;
    filled.stopped = true;
    filled.driver?.stop();
  }

  #end(key: string): void {
    this.#stop(key);
    if (!this.#byKey.has(key)) return;
    this.#options.serve({ type: "end", key });
    for (const segment of this.#byKey.get(key)?.segments ?? []) segment.release();
    this.#byKey.delete(key);
  }
}
