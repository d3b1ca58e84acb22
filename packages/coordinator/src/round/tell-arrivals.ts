/** Tells the ranks of a node what of a round's weights is here while the rest is still being downloaded: they may copy it ahead of the load. */
import type { FetchOptions } from "@rankcast/core";
import { encodeManifest, type StorageArrivals } from "@rankcast/core/runtime";
import type { CastWish } from "../fetch/cast-weights.ts";
import { type FetchedWeights, type FetchListener, type FetchWeights, type StripeReaders, withoutFiles } from "../fetch/fetch-weights.ts";
import type { CoordinatorMessage } from "../grpc/coordination-server.ts";

/** The round that weights are fetched for. */
export interface ToldRound {
  readonly sequence: number;
  readonly weights: string;
  readonly cancel: AbortController;
  /** What ranks are told; ended with the fetch or the round. */
  arrivals: { missed(): readonly CoordinatorMessage[] } | null;
}

/** Who fetches, and who tells ranks. */
export interface TellingHost {
  readonly fetch: FetchWeights;
  readonly listener: FetchListener;
  broadcast(message: CoordinatorMessage): void;
}

/**
 * Fetches the weights of a round while ranks are told what is here; what is placed then says whether they may use what they made of that.
 * @throws {CheckpointError} as the fetch does.
 */
export async function fetchAndTell(
  round: ToldRound,
  host: TellingHost,
  options: FetchOptions,
  readers?: StripeReaders,
): Promise<FetchedWeights> {
  const teller = new ArrivalTeller(round.sequence, (message) => host.broadcast(message));
  round.arrivals = teller;
  round.cancel.signal.addEventListener("abort", () => teller.end(), { once: true });
  try {
    const fetched = await host.fetch(round.weights, options, teller.listening(host.listener, options), round.cancel.signal, readers);
    return fetched.asItArrived ? { ...fetched, placed: { ...fetched.placed, foreseen: round.sequence } } : fetched;
  } finally {
    teller.end();
  }
}

/** What is told of one round. */
class ArrivalTeller {
  readonly #sequence: number;
  readonly #send: (message: CoordinatorMessage) => void;
  #first: CoordinatorMessage | null = null;
  #here: number[] = [];
  #end: () => void = () => undefined;

  constructor(sequence: number, send: (message: CoordinatorMessage) => void) {
    this.#sequence = sequence;
    this.#send = send;
  }

  /** `listener`, and ranks are told. */
  listening(listener: FetchListener, options: FetchOptions): FetchListener {
    return {
      onPhase: (phase) => listener.onPhase(phase),
      onBytes: (bytes, totalBytes) => listener.onBytes(bytes, totalBytes),
      onManifest: (manifest) => listener.onManifest?.(manifest),
      onArriving: (arriving) => {
        listener.onArriving?.(arriving);
        this.#begin(arriving, options);
      },
    };
  }

  /** What a rank that joins now has missed. */
  missed(): readonly CoordinatorMessage[] {
    return this.#first === null ? [] : [this.#first, this.#said(this.#here)];
  }

  /** Nothing more is told: the weights are complete, or the round is over. Safe to call twice. */
  end(): void {
    this.#end();
    this.#first = null;
  }

  #begin(arriving: StorageArrivals, options: FetchOptions): void {
    const { files, flat } = arriving;
    const { castTo = null } = options as FetchOptions & CastWish;
    const manifest = encodeManifest(withoutFiles(arriving.manifest));
    this.#first = { type: "arriving", sequence: this.#sequence, manifest, placement: { files, flat, castTo } };
    this.#send(this.#first);
    this.#end = arriving.follow((storages) => {
      this.#here.push(...storages);
      this.#send(this.#said(storages));
    });
  }

  #said(storages: readonly number[]): CoordinatorMessage {
    return { type: "arriving", sequence: this.#sequence, manifest: NOTHING, placement: { storages } };
  }
}

const NOTHING = new Uint8Array(0);
