/** The filling thread: brings every chunk of a broadcast into segments, verified, and tells the serving thread which are there. */
import {
  type BroadcastOffer,
  type BroadcastPlan,
  broadcastKey,
  ChunkSet,
  contentDigest,
  extendChecksum,
  type NativeMemory,
  nativeMemory,
  openSegmentBytes,
  planBroadcast,
  type SegmentDescriptor,
  startChecksum,
  toErrorRecord,
} from "@rankcast/core/runtime";
import { GenerationDesk } from "./generation-desk.ts";
import { type Incoming, incomingDelta, incomingFresh, incomingKept, type KeptTarget } from "./incoming.ts";
import { KeptGenerations } from "./kept-generations.ts";
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
  /** Null: this node has offered the bytes. */
  readonly incoming: Incoming | null;
  readonly driver: ReceiveDriver | null;
  bytes: number;
  stopped: boolean;
  /** The serving thread has opened the segments by their numbers: only now may those be given back. */
  opened: boolean;
  released: boolean;
}

type ReceiveCommand = Extract<FillCommand, { readonly type: "receive" }>;
type HeldGeneration = NonNullable<Extract<FillCommand, { readonly type: "offer" }>["held"]>;

/** All that one node brings in. */
export class FillSide {
  readonly #options: FillOptions;
  readonly #byKey = new Map<string, Filled>();
  readonly #native: NativeMemory | null;
  /** Null where memory cannot be mapped: everything is received anew. */
  readonly #kept: KeptGenerations | null;
  readonly #desk: GenerationDesk;

  constructor(options: FillOptions) {
    this.#options = options;
    this.#native = nativeMemory(options.noMmap);
    const keeps = this.#native !== null && process.platform === "linux";
    this.#kept = keeps ? new KeptGenerations(this.#native, (set) => options.serve({ type: "forget", set })) : null;
    this.#desk = new GenerationDesk(this.#kept, this.#native, options.tell);
  }

  /** What the coordinator says. */
  take(command: FillCommand): void {
    switch (command.type) {
      case "offer":
        this.#guard(command.offer, () => this.#offer(command.offer, command.descriptors, command.held));
        return;
      case "receive":
        this.#guard(command.offer, () => this.#receive(command));
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
        this.#desk.close();
        this.#options.serve({ type: "close" });
        return;
      default:
        this.#desk.take(command);
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
    if (filled.opened && filled.released) filled.incoming?.release();
  }

  #guard(offer: BroadcastOffer, run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#fail(broadcastKey(offer.id), error);
    }
  }

  /** Checksums chunk after chunk; each may be sent as soon as it has one, so sending overlaps with the rest of the pass. */
  #offer(offer: BroadcastOffer, descriptors: readonly SegmentDescriptor[], held: HeldGeneration | null): void {
    const key = broadcastKey(offer.id);
    const filled = this.#add(offer, null, () => null);
    const { layout } = filled.plan;
    const borrowed = held ? (this.#kept?.find(held.place)?.borrow(held.place.generation) ?? null) : null;
    this.#options.serve({ type: "open", offer, served: { descriptors, set: borrowed && held ? held.set : null } });
    const opened = borrowed ? [] : descriptors.map((descriptor) => openSegmentBytes(descriptor, this.#native));
    const sources = borrowed?.attached ?? opened;
    const buffer = this.#native === null ? Buffer.allocUnsafeSlow(offer.chunkBytes) : Buffer.alloc(0);
    let index = 0;
    const next = (): void => {
      if (index >= layout.count || filled.stopped) {
        borrowed?.giveBack();
        for (const source of opened) source.close();
        if (index >= layout.count) this.#options.tell({ type: "complete", key, arrived: { descriptors, set: null }, roundTripMs: null });
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

  #receive({ offer, nodeRank, striped, kept }: ReceiveCommand): void {
    const key = broadcastKey(offer.id);
    const { lane, bounds } = this.#options;
    const incoming = this.#incoming(offer, kept);
    const filled = this.#add(offer, incoming, (plan) => {
      return new ReceiveDriver(
        {
          offer,
          plan,
          nodeRank,
          lane,
          creditBytes: bounds.creditBytes,
          giveUpMs: bounds.giveUpMs,
          own: striped ? plan.node(nodeRank).own : ChunkSet.none(plan.layout.count),
          write: (segment, bytes, offset) => incoming.write(segment, bytes, offset),
          nowMs: () => performance.now(),
        },
        {
          onChunk: (chunk, checksum) => {
            filled.bytes += plan.layout.chunk(chunk).length;
            this.#options.serve({ type: "available", key, chunk, checksum });
            this.#options.tell({ type: "progress", key, bytes: filled.bytes });
          },
          onSwitched: (from, to, reason) => this.#options.tell({ type: "switched", key, from, to, reason }),
          onComplete: () => void this.#complete(key, filled, incoming),
          onFailed: (error) => this.#fail(key, error),
        },
      );
    });
    this.#options.serve({ type: "open", offer, served: incoming.served });
    filled.driver?.start();
  }

  async #complete(key: string, filled: Filled, incoming: Incoming): Promise<void> {
    try {
      const arrived = await incoming.complete();
      this.#options.tell({ type: "complete", key, arrived, roundTripMs: filled.driver?.roundTripMs ?? null });
    } catch (error) {
      // The bytes as they travelled are whole: nodes that pull them from here go on.
      if (this.#byKey.get(key) === filled) this.#options.tell({ type: "failed", key, error: toErrorRecord(error) });
    }
  }

  #incoming(offer: BroadcastOffer, kept: KeptTarget | null): Incoming {
    const { base = null } = kept ?? {};
    if (kept && base !== null) return incomingDelta({ ...kept, base }, offer.segmentBytes, this.#kept, this.#native);
    return kept && this.#kept ? incomingKept(kept, this.#kept) : incomingFresh(offer.segmentBytes, this.#native);
  }

  #fail(key: string, error: unknown): void {
    this.#end(key);
    this.#options.tell({ type: "failed", key, error: toErrorRecord(error) });
  }

  #takeStripe(key: string, index: number, bytes: Uint8Array): void {
    const filled = this.#byKey.get(key);
    if (filled === undefined || filled.driver === null || filled.stopped) return;
    this.#guard(filled.offer, () => {
      const chunk = filled.plan.layout.chunk(index);
      const checksum = extendChecksum(startChecksum(filled.digest, chunk), bytes);
      filled.incoming?.write(chunk.segment, bytes, chunk.offset);
      this.#options.tell({ type: "taken", key, chunk: index });
      filled.driver?.filled(index, checksum);
    });
  }

  #add(offer: BroadcastOffer, incoming: Incoming | null, drive: (plan: BroadcastPlan) => ReceiveDriver | null): Filled {
    const plan = planBroadcast(offer);
    const filled: Filled = {
      offer,
      plan,
      digest: contentDigest(offer),
      incoming,
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
    this.#byKey.get(key)?.incoming?.abandon();
    this.#byKey.delete(key);
  }
}
