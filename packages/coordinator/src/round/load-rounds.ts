/**
 * The collective rounds of one node: what was asked for, what was fetched, how long each part took. Rounds pass their barriers in order, one
 * at a time; a round that failed leaves nothing behind.
 */
import { type CheckpointError, DistributionError, type FetchOptions, type LoadReportFields } from "@rankcast/core";
import { asCheckpointError, type PlacedSegments, type StateDictManifest } from "@rankcast/core/runtime";
import { type FetchedWeights, type FetchListener, type FetchWeights, publishedWeights } from "../fetch/fetch-weights.ts";
import type { Arrive, CoordinatorMessage, Hello, LoadRequest, Publication } from "../grpc/coordination-server.ts";
import { mergeRankResults, type RankResult } from "./merge-rank-results.ts";

/** What the owner of the rounds does for them. */
export interface RoundsHost {
  readonly fetch: FetchWeights;
  readonly listener: FetchListener;
  /** Says something to every rank of this node. */
  broadcast(message: CoordinatorMessage): void;
  /** Lets a rank's arrival count. */
  admit(rank: number, arrival: Arrive): void;
  /** Fails the open generation of a barrier for a reason of the coordinator's own. */
  fail(barrier: string, cause: CheckpointError): void;
  /** Who takes part, by rank. */
  members(): ReadonlyMap<number, Hello>;
  now(): number;
  /** Proportional set size of this process; null where the kernel does not tell. */
  pssBytes(): number | null;
}

type Stage = "begin" | "prepared" | "committed" | "reported";

interface Round {
  readonly sequence: number;
  readonly cancel: AbortController;
  weights: string;
  /** As in arrivals, so that a failure of the coordinator's own agrees with them. */
  digest: string;
  fetched: FetchedWeights | null;
  /** What every rank of the node is told, those that join later too. */
  published: CoordinatorMessage | null;
  verified: boolean;
  failure: CheckpointError | null;
  /** Arrivals at `prepared` that wait for the verification of the bytes they are about. */
  readonly held: { readonly rank: number; readonly arrival: Arrive }[];
  beginMs: number | null;
  committedMs: number | null;
  loadMs: number;
  /** Proportional set size of this process when the round began. */
  pssBytes: number | null;
  pssGrowthBytes: number | null;
}

const PREFIX = "round/";

/** See the module comment. */
export class LoadRounds {
  readonly #host: RoundsHost;
  readonly #rounds = new Map<number, Round>();
  readonly #startMs: number;
  #generation = -1;
  /** The layout of the last update. */
  #layout: { readonly id: string; readonly manifest: StateDictManifest } | null = null;
  /** Rounds up to this one are over: what still arrives for them changes nothing. */
  #lastOver = 0;

  constructor(host: RoundsHost) {
    this.#host = host;
    this.#startMs = host.now();
  }

  /** A rank asks for weights: the first request starts the fetch, the others wait for the same. */
  request({ sequence, weights, options, digest }: LoadRequest): void {
    if (sequence <= this.#lastOver || this.#rounds.get(sequence)?.weights) return;
    const round = this.#open(sequence);
    // Not for updates: the kernel takes milliseconds to tell.
    round.pssBytes = this.#host.pssBytes();
    round.weights = weights;
    round.digest = `${sequence} ${digest}`;
    void this.#fetch(round, options as FetchOptions);
  }

  /** A rank offers weights of its own: everyone gets them. */
  publish(rank: number, { sequence, manifest, placement }: Publication): void {
    if (sequence <= this.#lastOver) return;
    const round = this.#open(sequence);
    const placed = placement as PlacedSegments;
    round.weights = `rank ${rank}`;
    round.fetched = publishedWeights(manifest, placed, this.#keptManifest(manifest, placed));
    if (placed.reuse) this.#layout = { id: placed.reuse.layout, manifest: round.fetched.manifest };
    round.verified = true;
    this.#publish(round, manifest, placement);
  }

  /** The manifest of an update that left it out because every rank has it. */
  #keptManifest(manifest: Uint8Array, { reuse }: PlacedSegments): StateDictManifest | null {
    if (manifest.byteLength > 0) return null;
    if (reuse !== undefined && this.#layout?.id === reuse.layout) return this.#layout.manifest;
    throw new DistributionError("RANKCAST_PROTOCOL", "a publication without a manifest is of an unknown layout", {});
  }

  /** What a rank that joins now has missed: ranks start at their own pace, and the first one's request starts the fetch. */
  missed(): CoordinatorMessage[] {
    return [...this.#rounds.values()].flatMap(({ published }) => published ?? []);
  }

  /** A rank stands at a barrier: admitted at once, except that nothing may be committed before its bytes are verified. */
  arrive(rank: number, arrival: Arrive): void {
    if (!arrival.barrier.startsWith(PREFIX)) {
      this.#host.admit(rank, arrival);
      return;
    }
    const sequence = Number.parseInt(arrival.digest, 10);
    const round = sequence > this.#lastOver ? this.#open(sequence) : undefined;
    const stage = arrival.barrier.slice(PREFIX.length);
    if (round && stage === "committed")
      round.loadMs = Math.max(round.loadMs, (arrival.payload as { loadMs?: number } | undefined)?.loadMs ?? 0);
    if (round && stage === "reported") round.pssGrowthBytes ??= this.#pssGrowth(round);
    if (round && stage === "prepared" && !round.verified && arrival.failure === undefined) round.held.push({ rank, arrival });
    else this.#host.admit(rank, arrival);
  }

  /** Called before a decision is sent; gives the payload everyone gets with it. */
  decided(barrier: string, passed: boolean, payloads: ReadonlyMap<number, unknown>): unknown {
    if (!barrier.startsWith(PREFIX)) return undefined;
    const round = this.#current();
    if (!round) return undefined;
    if (!passed) {
      this.#end(round);
      return undefined;
    }
    return this.#passed(round, barrier.slice(PREFIX.length) as Stage, payloads);
  }

  /** Ends every round: the coordinator closes or the epoch is over. */
  close(): void {
    for (const round of [...this.#rounds.values()]) this.#end(round);
  }

  #passed(round: Round, stage: Stage, payloads: ReadonlyMap<number, unknown>): unknown {
    switch (stage) {
      case "begin":
        round.beginMs = this.#host.now();
        return undefined;
      case "prepared":
        // Everyone has attached: the owner's handle is not needed any more.
        round.fetched?.release();
        return undefined;
      case "committed":
        round.committedMs = this.#host.now();
        this.#generation += 1;
        // Updates say everything here: a barrier of its own for the report would double their time.
        return isReport(payloads) ? this.#lastWord(round, payloads) : undefined;
      case "reported":
        return this.#lastWord(round, payloads);
    }
  }

  #lastWord(round: Round, payloads: ReadonlyMap<number, unknown>): LoadReportFields | undefined {
    const report = this.#report(round, payloads);
    this.#end(round);
    return report;
  }

  /** Ranks run their rounds in order, so the barriers being passed are those of the first open one. */
  #current(): Round | undefined {
    return this.#rounds.get(this.#lastOver + 1);
  }

  #open(sequence: number): Round {
    const open = this.#rounds.get(sequence);
    if (open) return open;
    const round: Round = {
      sequence,
      cancel: new AbortController(),
      weights: "",
      digest: "",
      fetched: null,
      published: null,
      verified: false,
      failure: null,
      held: [],
      beginMs: null,
      committedMs: null,
      loadMs: 0,
      pssBytes: null,
      pssGrowthBytes: null,
    };
    this.#rounds.set(sequence, round);
    return round;
  }

  #publish(round: Round, manifest: Uint8Array, placement: unknown): void {
    round.published = { type: "published", sequence: round.sequence, manifest, placement };
    this.#host.broadcast(round.published);
  }

  async #fetch(round: Round, options: FetchOptions): Promise<void> {
    try {
      const fetched = await this.#host.fetch(round.weights, options, this.#host.listener, round.cancel.signal);
      round.fetched = fetched;
      if (round.sequence <= this.#lastOver) {
        fetched.release();
        return;
      }
      this.#publish(round, fetched.manifestBytes, fetched.placed);
      this.#host.listener.onPhase("verifying and loading");
      await fetched.verify();
      round.verified = true;
      for (const { rank, arrival } of round.held.splice(0)) this.#host.admit(rank, arrival);
    } catch (error) {
      if (round.sequence <= this.#lastOver) return;
      // The barrier that is open now carries the failure; a rank that comes later gets the recorded decision.
      this.#host.fail(`${PREFIX}${round.beginMs === null ? "begin" : "prepared"}`, asCheckpointError(error));
    }
  }

  #end(round: Round): void {
    this.#rounds.delete(round.sequence);
    this.#lastOver = Math.max(this.#lastOver, round.sequence);
    round.cancel.abort(new DistributionError("RANKCAST_CANCELLED", "the round is over", {}));
    round.fetched?.release();
  }

  #report(round: Round, payloads: ReadonlyMap<number, unknown>): LoadReportFields | undefined {
    const { fetched, beginMs, committedMs, loadMs } = round;
    if (!fetched) return undefined;
    return mergeRankResults(payloads as ReadonlyMap<number, RankResult>, {
      weights: round.weights,
      fetched,
      generation: this.#generation,
      startMs: (beginMs ?? 0) - this.#startMs,
      totalMs: (committedMs ?? 0) - (beginMs ?? 0),
      loadMs,
      coordinatorPssBytes: round.pssGrowthBytes,
      members: this.#host.members(),
    });
  }

  /** Read when ranks read theirs, after the load's last barrier: pages that several processes map are shared out among all of them. */
  #pssGrowth({ pssBytes }: Round): number | null {
    for (const { pid } of this.#host.members().values()) if (pid === process.pid) return 0;
    const now = this.#host.pssBytes();
    return now === null || pssBytes === null ? null : now - pssBytes;
  }
}

function isReport(payloads: ReadonlyMap<number, unknown>): boolean {
  return payloads.size > 0 && [...payloads.values()].every((payload) => (payload as Partial<RankResult> | null)?.replicas !== undefined);
}
