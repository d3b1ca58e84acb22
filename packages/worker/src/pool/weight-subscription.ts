/**
 * The subscriber's side of live weights: each version that is offered goes to all replicas of a pool (or to a model in the main thread)
 * between their steps, and those before are given back once the last of them has gone on, but for what replicas still use of them beside a
 * version of some names.
 */
import { type BroadcastReport, type CheckpointError, DistributionError, type ReplicaReport } from "@rankcast/core";
import { asCheckpointError, FUNCTION, type OptionShapes, oneOf, type PlacedSegments, requireOptions } from "@rankcast/core/runtime";
import type { Offered } from "../grpc/coordinator-channel.ts";
import { type Delivery, prepareDelivery } from "../replica/delivery.ts";
import type { ReplicaSet } from "../replica/replica-set.ts";
import { layOver, namesNotGiven, type WeightLayer } from "../replica/weight-layers.ts";
import type { RankSession } from "../session/rank-session.ts";

/** A version that all replicas have taken. */
export interface WeightsUpdate {
  /** Counts up over all publications of the job; gaps are versions that were skipped. */
  readonly number: number;
  /** The publisher's label. */
  readonly version: string;
  /** From its publication until the last replica had it, in milliseconds. */
  readonly ageMs: number;
  /** Versions behind the newest one at that moment. */
  readonly behind: number;
  /** What went over the network for it; null when it was published on this node. */
  readonly broadcast: BroadcastReport | null;
}

/** How to subscribe. */
export interface SubscribeOptions {
  /**
   * `latest` (the default) skips versions that came while replicas were busy; `every` takes all of them in order. Where versions name different tensors
   * in turn, only `every` brings all of them: what a skipped one named stays as it was.
   */
  readonly policy?: "latest" | "every";
  /** Hears of each version that all replicas have taken. */
  readonly onUpdate?: (update: WeightsUpdate) => void;
  /** Hears why the subscription ended by itself; replicas keep the last weights that fitted. Without it the error is a warning of the process. */
  readonly onError?: (error: CheckpointError) => void;
}

/** A tensor that does not fit would stay as it was, beside others of the new version. */
const NO_LAYOUT = { revKeys: [], strict: false, onMismatch: "error" } as const;

const SUBSCRIBE_SHAPES: OptionShapes = new Map([
  ["policy", oneOf("latest", "every")],
  ["onUpdate", FUNCTION],
  ["onError", FUNCTION],
]);

/** What a subscription works with. */
export interface SubscriptionParts {
  readonly session: RankSession;
  readonly replicas: ReplicaSet;
  readonly noMmap: boolean;
  /** The group's, for labels. */
  readonly generation: () => number;
  /** The subscription is over. */
  readonly onLeft: () => void;
}

/** See the module comment. */
export class WeightSubscription implements AsyncDisposable {
  readonly #session: RankSession;
  readonly #replicas: ReplicaSet;
  readonly #noMmap: boolean;
  readonly #generation: () => number;
  readonly #onLeft: () => void;
  readonly #options: SubscribeOptions;
  readonly #id: number;
  #manifest: Uint8Array = new Uint8Array(0);
  /** Numbers of the versions that each replica uses, wholly or in part. */
  #layers: (readonly WeightLayer<number>[])[] = [];
  #last: WeightsUpdate | null = null;
  #newest = 0;
  #work: Promise<void> = Promise.resolve();
  readonly #unfollow: () => void;
  #closed = false;

  /** Subscribes at once; a version that was published before comes first. */
  constructor({ session, replicas, noMmap, generation, onLeft }: SubscriptionParts, options: SubscribeOptions) {
    this.#session = session;
    this.#replicas = replicas;
    this.#noMmap = noMmap;
    this.#generation = generation;
    this.#onLeft = onLeft;
    this.#options = options;
    requireOptions(options, SUBSCRIBE_SHAPES);
    this.#unfollow = replicas.turns.follow();
    this.#id = session.subscribe(options.policy ?? "latest", {
      onOffered: (offered) => {
        this.#work = this.#take(offered, performance.now());
      },
      onNewest: (number) => {
        this.#newest = Math.max(this.#newest, number);
      },
      onEnded: (error) => {
        this.#work = this.#work.then(() => (this.#closed ? undefined : this.#fail(asCheckpointError(error))));
      },
    });
  }

  /** The version that all replicas use, null before the first. */
  get current(): WeightsUpdate | null {
    return this.#last;
  }

  /** Number of the newest publication known here; 0 before the first. */
  get newest(): number {
    return this.#newest;
  }

  /** Versions between the replicas' and the newest one known here. */
  get behind(): number {
    return Math.max(0, this.#newest - (this.#last?.number ?? 0));
  }

  /**
   * Ends the subscription after the replicas' running steps; they keep the weights they have, those of publications in memory of their own, all the versions
   * that they use parts of. Safe to call twice.
   */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#work;
    await this.#leave();
  }

  /** As `close`, for replicas that are ending: nothing is kept for them, and their steps are not waited for. */
  async closeWith(ended: Promise<unknown>): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    // Publishers may write over what replicas look at only when there are none any more.
    await ended;
    this.#forget();
  }

  /** Same as `close`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #take(offered: Offered, receivedMs: number): Promise<void> {
    if (this.#closed) return;
    const { number, version } = offered;
    this.#newest = Math.max(this.#newest, number);
    try {
      this.#lay(number, await this.#bring(offered));
    } catch (error) {
      // Whoever closes it does the rest.
      if (!this.#closed) await this.#fail(asCheckpointError(error));
      return;
    }
    this.#session.taken(this.#id, number, this.#beside(number));
    const ageMs = offered.ageMs + performance.now() - receivedMs;
    const broadcast = (offered.placement as PlacedSegments).travelled ?? null;
    this.#last = { number, version, ageMs, behind: this.#newest - number, broadcast };
    this.#options.onUpdate?.(this.#last);
  }

  /** A version may name only some tensors; all others are still those of earlier ones, whose publishers must not write over them. */
  #lay(number: number, reports: readonly ReplicaReport[]): void {
    this.#layers = reports.map((report, index) => layOver(this.#layers[index] ?? [], { of: number, notGiven: namesNotGiven(report) }));
  }

  #beside(number: number): readonly number[] {
    return [...new Set(this.#layers.flat().map(({ of }) => of))].filter((each) => each !== number);
  }

  async #bring(offered: Offered): Promise<readonly ReplicaReport[]> {
    const end = await this.#replicas.turns.take();
    try {
      const change = this.#changeTo(offered);
      return await change().catch(async (error: unknown) => {
        // Before anybody else's turn: what is taken back is this version.
        await this.#replicas.rollBack();
        throw error;
      });
    } finally {
      end();
    }
  }

  /** What brings replicas to a version. Until it is called there is nothing to take back: what was committed last is another's. */
  #changeTo(offered: Offered): () => Promise<readonly ReplicaReport[]> {
    const placed = offered.placement as PlacedSegments;
    if (offered.manifest.byteLength > 0) this.#manifest = offered.manifest;
    const manifest = this.#manifest;
    const label = { generation: this.#generation(), version: offered.version, number: offered.number };
    const attach = (): Delivery => prepareDelivery({ manifest, placed, limits: {} }, this.#replicas.count, this.#noMmap);
    const { reuse } = placed;
    if (reuse && reuse.set !== null) return () => this.#replicas.swap(reuse, NO_LAYOUT, attach, label);
    const delivery = attach();
    return async () => {
      await this.#replicas.prepare(delivery, NO_LAYOUT);
      return this.#replicas.commit(label);
    };
  }

  async #leave(): Promise<void> {
    // The publisher may write over shared pages from now on: what replicas look at becomes theirs first.
    const end = await this.#replicas.turns.take();
    await this.#replicas.own().catch(() => undefined);
    end();
    this.#forget();
  }

  #forget(): void {
    this.#session.unsubscribe(this.#id);
    this.#unfollow();
    this.#onLeft();
  }

  async #fail(error: CheckpointError): Promise<void> {
    this.#closed = true;
    await this.#leave();
    if (this.#options.onError) this.#options.onError(error);
    else
      process.emitWarning(
        new DistributionError("RANKCAST_SUBSCRIPTION", `a subscription to weights ended: ${error.message}`, { cause: error }),
      );
  }
}
