/**
 * What a rank does together with all others: rounds of loading and updating, one after the other, and what they leave behind (the generation,
 * the replicas of the last one, the layout whose segments are kept).
 */
import { DistributionError, type DType, type LoadReport, type StateDict } from "@rankcast/core";
import {
  MemoryMeter,
  type OptionShape,
  type OrderWish,
  type RankIdentity,
  requireArgument,
  requireOptions,
  TEXT,
  type TensorCopier,
  wholeNumber,
} from "@rankcast/core/runtime";
import type { ReplicaSet } from "../replica/replica-set.ts";
import type { RankSession } from "../session/rank-session.ts";
import { checkGroupLoadOptions, fetchOptionsOf, type GroupLoadOptions, replicaOptionsOf, roundDigest } from "./load-options.ts";
import { PublicationRing } from "./publication-ring.ts";
import { runRound } from "./round.ts";
import { type KnownLayouts, runUpdate } from "./update-round.ts";

// A rank may wait this long for another without a sign of progress where waiting is what it is there for.
const PATIENCE_MS = 2 ** 31 - 1;

const NO_ORDER: OrderWish = new Map();

const NO_LAYOUTS: KnownLayouts = new Map();
/** Of updates from each rank: ranks are few, and a source publishes many times. */
const updateDigests = new Map<number, string>();

/** As many as a source and every replica keep. */
const LAYOUTS_MAX = 2;

const STATE_DICT_OR_NULL: OptionShape = { expected: "a StateDict or null", fits: (value) => value === null || value instanceof Map };

/** How to update. */
export interface UpdateOptions {
  /** The rank that passes the state dict; the others pass null. Default 0. */
  readonly src?: number;
  /** An opaque label of the source's: in the report, and in the replies of pools. */
  readonly version?: string;
}

/** See the module comment. */
export class Collectives {
  readonly #session: RankSession;
  readonly #identity: RankIdentity;
  readonly #noMmap: boolean;
  readonly #ring: PublicationRing;
  readonly #memory = new MemoryMeter();
  #sequence = 0;
  #generation = -1;
  #last: ReplicaSet | null = null;
  /** Layouts of the last updates, if no other collective came after them: their sets are attached by every replica of every rank. */
  #layouts: KnownLayouts = NO_LAYOUTS;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(session: RankSession, identity: RankIdentity, noMmap: boolean, copier: TensorCopier) {
    this.#session = session;
    this.#identity = identity;
    this.#noMmap = noMmap;
    this.#ring = new PublicationRing(noMmap, copier);
  }

  /** Version of the weights that the last successful round left; -1 before. */
  get generation(): number {
    return this.#generation;
  }

  /** The replicas of the last successful round. */
  get last(): ReplicaSet | null {
    return this.#last;
  }

  /**
   * A round that loads `weights`.
   * @throws {CheckpointError} the same root cause on every rank; RANKCAST_USAGE for options that cannot cross processes.
   */
  async load(replicas: ReplicaSet, weights: string, options: GroupLoadOptions): Promise<LoadReport> {
    requireArgument("weights", weights, TEXT);
    checkGroupLoadOptions(options);
    if (typeof options.select === "function") {
      throw new DistributionError("RANKCAST_USAGE", "select of a collective load must be a path: a function cannot cross processes", {
        details: { option: "select" },
      });
    }
    if (typeof options.mapLocation === "function") {
      throw new DistributionError(
        "RANKCAST_USAGE",
        "mapLocation of a collective load must be a device or a table: a function cannot cross processes",
        {
          details: { option: "mapLocation" },
        },
      );
    }
    const fetch = fetchOptionsOf(options);
    const digest = roundDigest(["load", weights, fetch]);
    const session = this.#session;
    return this.#collective(replicas, options, digest, {
      // Advice, not part of what ranks must agree on: nothing depends on who makes a cast.
      announce: (sequence, castTo) => session.requestLoad(sequence, weights, castTo === null ? fetch : { ...fetch, castTo }, digest),
      deliver: (sequence) => session.published(sequence),
    });
  }

  /**
   * A round that gives every replica the state dict of rank `src`.
   * @throws {CheckpointError} the same root cause on every rank; RANKCAST_USAGE when another rank passes one, or `src` none.
   */
  async update(replicas: ReplicaSet, stateDict: StateDict | null, options: UpdateOptions): Promise<LoadReport> {
    // A source that is nobody would be waited for.
    requireOptions(
      options,
      new Map([
        ["src", wholeNumber(0, this.#identity.worldSize - 1)],
        ["version", TEXT],
      ]),
    );
    requireArgument("stateDict", stateDict, STATE_DICT_OR_NULL);
    const { src = 0, version } = options;
    const session = this.#session;
    if ((stateDict !== null) !== (src === this.#identity.rank)) {
      throw new DistributionError(
        "RANKCAST_USAGE",
        `rank ${this.#identity.rank}: only rank src = ${src} passes a state dict, the others pass null`,
        {
          details: { src, rank: this.#identity.rank },
        },
      );
    }
    return this.#inTurn(async () => {
      const sequence = this.#nextSequence();
      const known = this.#layouts;
      const order = stateDict && !this.#ring.knows(stateDict) ? await replicas.orderWish().catch(() => NO_ORDER) : NO_ORDER;
      // Until it has succeeded on every rank nobody may count on it.
      this.#layouts = NO_LAYOUTS;
      const { report, layout, manifest } = await runUpdate({
        session,
        sequence,
        digest: updateDigest(src),
        replicas,
        // Updates carry the names of the replicas themselves: rewriting them would be wrong, and one that does not fit would leave a mixture.
        options: { revKeys: [], strict: false, onMismatch: "error" },
        noMmap: this.#noMmap,
        generation: this.#generation + 1,
        layouts: known,
        publishedBytes: bytesOf(stateDict),
        publish: stateDict ? () => this.#publish(sequence, stateDict, { known, order, version }) : null,
      });
      if (stateDict) this.#ring.accepted(layout ?? undefined);
      this.#finish(replicas, report, layout === null ? NO_LAYOUTS : knownAfter(known, layout, manifest));
      return report;
    });
  }

  #publish(
    sequence: number,
    stateDict: StateDict,
    { known, order, version }: { readonly known: KnownLayouts; readonly order: OrderWish; readonly version: string | undefined },
  ): void {
    const { manifest, placed } = this.#ring.publish(stateDict, known, order);
    this.#session.publish(sequence, manifest, version === undefined ? placed : { ...placed, version });
  }

  #collective(
    replicas: ReplicaSet,
    options: GroupLoadOptions,
    digest: string,
    delivery: { announce(sequence: number, castTo: DType | null): void; deliver(sequence: number): ReturnType<RankSession["published"]> },
  ): Promise<LoadReport> {
    const session = this.#session;
    return this.#inTurn(async () => {
      const sequence = this.#nextSequence();
      const replicaOptions = replicaOptionsOf(options);
      // A replica that cannot answer fails the round where failures are carried to everyone.
      const castTo = await replicas.castWish(replicaOptions).catch(() => null);
      const report = await runRound({
        session,
        sequence,
        digest,
        replicas,
        isAlone: this.#identity.worldSize === 1,
        options: replicaOptions,
        withDigest: options.digest ?? false,
        generation: this.#generation + 1,
        noMmap: this.#noMmap,
        memory: this.#memory,
        limits: options.limits ?? {},
        signal: options.signal,
        onPhase: (phase) => options.onProgress?.({ phase, doneBytes: 0, totalBytes: null }),
        announce: () => delivery.announce(sequence, castTo),
        deliver: async () => delivery.deliver(sequence),
      });
      this.#finish(replicas, report, NO_LAYOUTS);
      return report;
    });
  }

  /** Collectives of one rank run one after the other, whatever became of the one before. */
  #inTurn(run: () => Promise<LoadReport>): Promise<LoadReport> {
    const result = this.#tail.then(run, run);
    this.#tail = result.catch(() => undefined);
    return result;
  }

  #nextSequence(): number {
    this.#sequence += 1;
    return this.#sequence;
  }

  #finish(replicas: ReplicaSet, report: LoadReport, layouts: KnownLayouts): void {
    this.#generation = report.generation;
    this.#last = replicas;
    this.#layouts = layouts;
  }

  /**
   * Gives every rank what all ranks brought, by rank. JSON values. It is no round: rounds may pass meanwhile.
   * @throws {CheckpointError} the first failure, the same on every rank.
   */
  async gather(name: string, value: unknown, failure?: unknown): Promise<readonly unknown[]> {
    const payload = (await this.#session.arrive({
      barrier: `gather/${name}`,
      digest: "",
      payload: value ?? null,
      timeoutMs: PATIENCE_MS,
      ...(failure === undefined ? {} : { failure }),
    })) as Readonly<Record<string, unknown>>;
    return Array.from({ length: this.#identity.worldSize }, (_, rank) => payload[String(rank)] ?? null);
  }

  /** Gives the memory of publications back. */
  release(): void {
    this.#ring.release();
  }
}

function updateDigest(src: number): string {
  const digest = updateDigests.get(src) ?? roundDigest(["update", src]);
  updateDigests.set(src, digest);
  return digest;
}

function bytesOf(stateDict: StateDict | null): number {
  let sum = 0;
  for (const { nbytes } of stateDict?.values() ?? []) sum += nbytes;
  return sum;
}

/** Every rank has taken an update of this layout. */
function knownAfter(before: KnownLayouts, layout: string, manifest: Uint8Array): KnownLayouts {
  if ([...before.keys()].at(-1) === layout) return before;
  const others = [...before].filter(([each]) => each !== layout);
  return new Map([...others, [layout, manifest] as const].slice(-LAYOUTS_MAX));
}
