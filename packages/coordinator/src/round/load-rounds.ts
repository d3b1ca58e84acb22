/**
 * The collective rounds of a job: what was asked for, what was fetched, how long each part took. Rounds pass their barriers in order, one
 * at a time; a round that failed leaves nothing behind.
 */
import type { CheckpointError, FetchOptions, LoadReportFields } from "@rankcast/core";
import { asCheckpointError, type PlacedSegments } from "@rankcast/core/runtime";
import { type FetchedWeights, type FetchListener, type FetchWeights, publishedWeights } from "../fetch/fetch-weights.ts";
import type { Arrive, CoordinatorMessage, Hello, LoadRequest, Publication } from "../grpc/coordination-server.ts";
import type { CoordinatorMemory } from "./coordinator-memory.ts";
import { KnownLayouts } from "./known-layouts.ts";
import { mergeRankResults, type RankResult } from "./merge-rank-results.ts";
import type { DescribedWeights, NodeFacts, OtherNodes } from "./other-nodes.ts";
import { beginVerifying, isReport, newRound, nodesDiffer, noteLoaded, type Round, type Stage } from "./round.ts";
import { stripeReaders } from "./stripe-readers.ts";
import { fetchAndTell } from "./tell-arrivals.ts";
import { weightsDigest } from "./weights-digest.ts";

/** What the owner of the rounds does for them. */
export interface RoundsHost {
  readonly fetch: FetchWeights;
  readonly listener: FetchListener;
  /** Says something to every rank of this node. */
  broadcast(message: CoordinatorMessage): void;
  /** Lets a rank's arrival count. */
  admit(rank: number, arrival: Arrive): void;
  /** Fails the open generation of a barrier for a reason of a coordinator's own: this one, or that of another node. */
  fail(barrier: string, cause: CheckpointError, nodeRank?: number): void;
  readonly others: OtherNodes;
  readonly nodeCount: number;
  /** Who takes part, by rank. */
  members(): ReadonlyMap<number, Hello>;
  now(): number;
  readonly memory: CoordinatorMemory;
}

const PREFIX = "round/";

/** See the module comment. */
export class LoadRounds {
  readonly #host: RoundsHost;
  readonly #rounds = new Map<number, Round>();
  readonly #startMs: number;
  #generation = -1;
  readonly #layouts = new KnownLayouts();
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
    round.pssBytes = this.#host.memory.before().pssBytes;
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
    round.fetched = this.#described(manifest, placed);
    round.verified = true;
    this.#publish(round, manifest, placement);
    this.#offer(round, manifest, placed, "update");
  }

  /** A rank of another node offers weights: this node gets them as all others do. */
  nodeOwns(nodeRank: number, rank: number, sequence: number, weights: DescribedWeights): void {
    if (sequence <= this.#lastOver) return;
    const round = this.#open(sequence);
    round.weights = `rank ${rank}`;
    void this.#take(round, nodeRank, weights);
  }

  /** Another node has the weights. Where it got them by itself they must be the same. */
  nodeReady(nodeRank: number, sequence: number, facts: NodeFacts): void {
    const round = this.#rounds.get(sequence);
    if (!round) return;
    round.ready.set(nodeRank, facts);
    round.readyMs = this.#host.now();
    this.#compare(round);
    this.#admitHeld(round);
  }

  /** Another node did not get them. */
  nodeFailed(nodeRank: number, sequence: number, cause: CheckpointError): void {
    const round = this.#rounds.get(sequence);
    if (!round || (cause.code === "RANKCAST_DELTA" && this.#host.others.again(sequence, nodeRank))) return;
    this.#host.fail(this.#openBarrier(round), cause, nodeRank);
  }

  /** An update's weights; its manifest is left out when every rank has it. */
  #described(manifest: Uint8Array, placed: PlacedSegments): FetchedWeights {
    const fetched = publishedWeights(manifest, placed, manifest.byteLength > 0 ? null : this.#layouts.manifestOf(placed.reuse));
    if (placed.reuse) this.#layouts.keep(placed.reuse, fetched.manifest);
    return fetched;
  }

  /** What a rank that joins now has missed: ranks start at their own pace, and the first one's request starts the fetch. */
  missed(): CoordinatorMessage[] {
    return [...this.#rounds.values()].flatMap(({ published, arrivals }) => published ?? arrivals?.missed() ?? []);
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
    if (round && stage === "committed") noteLoaded(round, arrival.payload);
    if (round && stage === "reported") round.pssGrowthBytes ??= this.#pssGrowth(round);
    if (round && stage === "prepared" && !this.#isEverywhere(round) && arrival.failure === undefined) round.held.push({ rank, arrival });
    else this.#host.admit(rank, arrival);
  }

  /** Called before a decision is sent; gives the payload everyone gets with it. */
  decided(barrier: string, passed: boolean, payloads: ReadonlyMap<number, unknown>): unknown {
    if (!barrier.startsWith(PREFIX)) return undefined;
    const round = this.#current();
    if (!round) return undefined;
    if (!passed) {
      this.#end(round, false);
      return undefined;
    }
    return this.#passed(round, barrier.slice(PREFIX.length) as Stage, payloads);
  }

  /** Ends every round: the coordinator closes or the epoch is over. */
  close(): void {
    for (const round of [...this.#rounds.values()]) this.#end(round, false);
  }

  #passed(round: Round, stage: Stage, payloads: ReadonlyMap<number, unknown>): unknown {
    switch (stage) {
      case "begin":
        round.beginMs = this.#host.now();
        round.begin();
        return undefined;
      case "prepared":
        // Everyone has attached: the owner's handle is not needed any more.
        round.fetched?.release();
        this.#host.others.release(round.sequence);
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
    this.#end(round, true);
    return report;
  }

  /** Ranks run their rounds in order, so the barriers being passed are those of the first open one. */
  #current(): Round | undefined {
    return this.#rounds.get(this.#lastOver + 1);
  }

  #open(sequence: number): Round {
    const open = this.#rounds.get(sequence);
    if (open) return open;
    const round = newRound(sequence);
    this.#rounds.set(sequence, round);
    return round;
  }

  #publish(round: Round, manifest: Uint8Array, placement: unknown): void {
    round.published = { type: "published", sequence: round.sequence, manifest, placement };
    this.#host.broadcast(round.published);
  }

  #offer(round: Round, manifest: Uint8Array, placed: PlacedSegments, kind: "load" | "update"): void {
    if (this.#host.others.count === 0) return;
    round.offeredMs = this.#host.now();
    this.#host.others.offer(round.sequence, manifest, placed, kind);
  }

  async #take(round: Round, nodeRank: number, weights: DescribedWeights): Promise<void> {
    try {
      round.offeredMs = this.#host.now();
      const { placed, release } = await this.#host.others.pass(round.sequence, nodeRank, weights, round.cancel.signal);
      if (round.sequence <= this.#lastOver) {
        release();
        return;
      }
      round.fetched = { ...this.#described(weights.manifest, placed), release };
      round.verified = true;
      this.#publish(round, weights.manifest, placed);
      this.#admitHeld(round);
    } catch (error) {
      if (round.sequence > this.#lastOver) this.#host.fail(this.#openBarrier(round), asCheckpointError(error));
    }
  }

  /** Whether every node has the weights, whole and verified. */
  #isEverywhere({ verified, ready }: Round): boolean {
    return verified && ready.size >= this.#host.others.count;
  }

  #admitHeld(round: Round): void {
    if (!this.#isEverywhere(round)) return;
    for (const { rank, arrival } of round.held.splice(0)) this.#host.admit(rank, arrival);
  }

  /** Fails the round when nodes that fetched for themselves got different bytes. */
  #compare(round: Round): void {
    const error = nodesDiffer(round);
    if (error) this.#host.fail(this.#openBarrier(round), error, (error.details["nodes"] as number[])[0]);
  }

  /** The barrier that ranks are at, or come to next; one that comes later gets the recorded decision. */
  #openBarrier(round: Round): string {
    return `${PREFIX}${round.beginMs === null ? "begin" : "prepared"}`;
  }

  async #fetch(round: Round, options: FetchOptions): Promise<void> {
    try {
      const everyNodeFetches = (options.fetch ?? "once-per-job") !== "once-per-job";
      const { others } = this.#host;
      const readers = everyNodeFetches || others.count === 0 ? undefined : stripeReaders(round, { others, now: () => this.#host.now() });
      const fetched = await fetchAndTell(round, this.#host, options, readers);
      round.fetched = fetched;
      if (round.sequence <= this.#lastOver) {
        fetched.release();
        return;
      }
      const compared = beginVerifying(round, fetched, () => this.#host.now());
      this.#publish(round, fetched.manifestBytes, fetched.placed);
      if (!everyNodeFetches && !fetched.striped) this.#offer(round, fetched.manifestBytes, fetched.placed, "load");
      this.#host.listener.onPhase("verifying and loading");
      if (everyNodeFetches && this.#host.others.count > 0) {
        round.contentDigest = await weightsDigest(fetched, round.cancel.signal);
        this.#compare(round);
      }
      await compared;
      round.verified = true;
      this.#admitHeld(round);
    } catch (error) {
      if (round.sequence > this.#lastOver) this.#host.fail(this.#openBarrier(round), asCheckpointError(error));
    }
  }

  #end(round: Round, passed: boolean): void {
    this.#rounds.delete(round.sequence);
    this.#lastOver = Math.max(this.#lastOver, round.sequence);
    round.stop();
    round.fetched?.release();
    this.#host.others.end(round.sequence, passed);
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
      verifyMs: round.verifyMs,
      aheadMs: round.aheadMs,
      coordinatorPssBytes: round.pssGrowthBytes,
      members: this.#host.members(),
      nodeCount: this.#host.nodeCount,
      otherNodes: [...round.ready.values()],
      broadcast: this.#host.others.travelled(round.sequence),
      castMs: round.offeredMs === null ? 0 : Math.max(0, round.readyMs - round.offeredMs),
    });
  }

  /** Read when ranks read theirs, after the load's last barrier: pages that several processes map are shared out among all of them. */
  #pssGrowth({ pssBytes }: Round): number | null {
    for (const { pid } of this.#host.members().values()) if (pid === process.pid) return 0;
    const now = this.#host.memory.after().pssBytes;
    return now === null || pssBytes === null ? null : now - pssBytes;
  }
}
