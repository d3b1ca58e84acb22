/** The serving thread: listens, finds the broadcast a connection asks for, reads bytes from segments. */
import { type BroadcastOffer, broadcastKey, contentDigest, nativeMemory, planBroadcast, toErrorRecord } from "@rankcast/core/runtime";
import type { Arrived } from "./incoming.ts";
import type { BoundLane, Lane } from "./lane.ts";
import { type BroadcastTable, headDigest, serveConnection } from "./requests.ts";
import { ServeDriver } from "./serve-driver.ts";
import { ServedSets } from "./served-sets.ts";
import type { BroadcastBounds, ServeCommand, ThreadMessage } from "./thread-message.ts";

interface Served {
  readonly digest: string;
  readonly driver: ServeDriver;
  readonly set: ReturnType<ServedSets["open"]>;
}

/** Ended broadcasts that are remembered, so that a straggler is told at once. */
const ENDED_KEPT = 256;

/** All that one node serves. */
export class ServeSide implements BroadcastTable {
  readonly bitmapBytesMax: number;
  readonly #bounds: BroadcastBounds;
  readonly #sets: ServedSets;
  readonly #tell: (message: ThreadMessage) => void;
  readonly #byKey = new Map<string, Served>();
  readonly #byDigest = new Map<string, Served>();
  readonly #ended = new Set<string>();
  readonly #waiting = new Map<string, Set<(driver: ServeDriver | null) => void>>();
  readonly #pool: Uint8Array[] = [];
  #bound: BoundLane | null = null;

  constructor(options: { readonly bounds: BroadcastBounds; readonly noMmap: boolean }, tell: (message: ThreadMessage) => void) {
    this.#bounds = options.bounds;
    this.#sets = new ServedSets(nativeMemory(options.noMmap));
    this.#tell = tell;
    this.bitmapBytesMax = Math.ceil(options.bounds.chunks / 8);
  }

  /** Listens. @throws {DistributionError} RANKCAST_COORDINATOR_UNREACHABLE when the address cannot be bound. */
  async listen(lane: Lane, address: string): Promise<BoundLane> {
    this.#bound = await lane.listen(address, (connection) => serveConnection(connection, this));
    return this.#bound;
  }

  /** What the filling thread says. */
  take(command: ServeCommand): void {
    switch (command.type) {
      case "open":
        try {
          this.#open(command.offer, command.served);
        } catch (error) {
          this.#tell({ type: "failed", key: broadcastKey(command.offer.id), error: toErrorRecord(error) });
        }
        return;
      case "available":
        this.#byKey.get(command.key)?.driver.available(command.chunk, command.checksum);
        return;
      case "end":
        this.#end(command.key);
        return;
      case "forget":
        this.#sets.forget(command.set);
        return;
      case "close":
        void this.close();
    }
  }

  find(digest: string, abandoned: AbortSignal): Promise<ServeDriver | null> {
    const served = this.#byDigest.get(digest);
    if (served || this.#ended.has(digest) || abandoned.aborted) return Promise.resolve(served?.driver ?? null);
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(digest) ?? new Set();
      this.#waiting.set(digest, waiting.add(resolve));
      abandoned.addEventListener("abort", () => {
        waiting.delete(resolve);
        if (waiting.size === 0) this.#waiting.delete(digest);
        resolve(null);
      });
    });
  }

  /** Ends everything. */
  async close(): Promise<void> {
    for (const key of [...this.#byKey.keys()]) this.#end(key);
    for (const waiting of this.#waiting.values()) for (const resolve of waiting) resolve(null);
    await this.#bound?.close();
  }

  #open(offer: BroadcastOffer, arrived: Arrived): void {
    const key = broadcastKey(offer.id);
    const digest = headDigest(contentDigest(offer));
    const plan = planBroadcast(offer);
    const set = this.#sets.open(arrived);
    const { segments } = set;
    const driver = new ServeDriver(
      {
        plan,
        digest,
        stallMs: this.#bounds.stallMs,
        creditBytes: this.#bounds.creditBytes,
        nowMs: () => performance.now(),
        read: (index) => {
          const { segment, offset, length } = plan.layout.chunk(index);
          let pooled: Uint8Array | null = null;
          const bytes = segments[segment]?.view(offset, length, () => {
            pooled = this.#pool.pop() ?? Buffer.alloc(0);
            if (pooled.length < length) pooled = Buffer.allocUnsafeSlow(Math.max(length, offer.chunkBytes));
            return pooled;
          });
          return { bytes: bytes ?? new Uint8Array(0), release: () => void (pooled && this.#pool.push(pooled)) };
        },
      },
      {
        onSlow: (receiver, silentMs) => this.#tell({ type: "slow", key, receiver, silentMs }),
        onStalled: (receiver, silentMs) => this.#tell({ type: "stalled", key, receiver, silentMs }),
        onFinished: (receiver) => this.#tell({ type: "finished", key, receiver }),
      },
    );
    const served = { digest, driver, set };
    this.#byKey.set(key, served);
    this.#byDigest.set(digest, served);
    for (const resolve of this.#waiting.get(digest) ?? []) resolve(driver);
    this.#waiting.delete(digest);
  }

  #end(key: string): void {
    const served = this.#byKey.get(key);
    if (served === undefined) return;
    void served.driver.close().then(() => served.set.close());
    this.#byKey.delete(key);
    this.#byDigest.delete(served.digest);
    this.#ended.add(served.digest);
    const [oldest] = this.#ended;
    if (this.#ended.size > ENDED_KEPT && oldest !== undefined) this.#ended.delete(oldest);
  }
}
