/** What a coordinator keeps of one round. */
import { DistributionError } from "@rankcast/core";
import { quote, rankRanges } from "@rankcast/core/runtime";
import type { FetchedWeights } from "../fetch/fetch-weights.ts";
import type { Arrive, CoordinatorMessage } from "../grpc/coordination-server.ts";
import type { RankResult } from "./merge-rank-results.ts";
import type { NodeFacts } from "./other-nodes.ts";

/** Its barriers, in order. */
export type Stage = "begin" | "prepared" | "committed" | "reported";

/** See the module comment. */
export interface Round {
  readonly sequence: number;
  /** Ends work for the round that is under way; made by the first who asks for it. */
  readonly cancel: AbortController;
  /** Ends such work, if there is any. */
  stop(): void;
  weights: string;
  /** As in arrivals, so that a failure of the coordinator's own agrees with them. */
  digest: string;
  fetched: FetchedWeights | null;
  /** What every rank of the node is told, those that join later too. */
  published: CoordinatorMessage | null;
  /** What ranks are told before that. */
  arrivals: { missed(): readonly CoordinatorMessage[] } | null;
  verified: boolean;
  /** Of this node's weights, where every node gets its own. */
  contentDigest: string | null;
  /** Other nodes that have the weights. */
  readonly ready: Map<number, NodeFacts>;
  offeredMs: number | null;
  readyMs: number;
  /** Arrivals at `prepared` that wait for the verification of the bytes they are about. */
  readonly held: { readonly rank: number; readonly arrival: Arrive }[];
  beginMs: number | null;
  /** Resolves when every rank has begun, and so every node knows what is asked for. */
  readonly begun: Promise<void>;
  begin(): void;
  committedMs: number | null;
  loadMs: number;
  /** The longest time that a rank spent copying while files arrived. */
  aheadMs: number;
  verifyMs: number;
  /** Proportional set size of this process when the round began. */
  pssBytes: number | null;
  pssGrowthBytes: number | null;
}

/** A round that nobody has said anything about. */
export function newRound(sequence: number): Round {
  let begin = (): void => undefined;
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  // Most updates need none: an error with its stack takes longer than all else that is kept of a round.
  let cancel: AbortController | null = null;
  let isOver = false;
  const abort = (): void => cancel?.abort(new DistributionError("RANKCAST_CANCELLED", "the round is over", {}));
  return {
    begun,
    begin,
    sequence,
    get cancel() {
      if (cancel === null) {
        cancel = new AbortController();
        if (isOver) abort();
      }
      return cancel;
    },
    stop() {
      isOver = true;
      abort();
    },
    weights: "",
    digest: "",
    fetched: null,
    published: null,
    arrivals: null,
    verified: false,
    contentDigest: null,
    ready: new Map(),
    offeredMs: null,
    readyMs: 0,
    held: [],
    beginMs: null,
    committedMs: null,
    loadMs: 0,
    aheadMs: 0,
    verifyMs: 0,
    pssBytes: null,
    pssGrowthBytes: null,
  };
}

/**
 * Begins to verify, before ranks are told of the weights: whether anything is left to compare is a question to the disk, and they take all processors
 * afterwards. Admits nobody: that is the caller's, when nodes were compared too. @throws what `verify` does, to whoever awaits it.
 */
export function beginVerifying(round: Round, fetched: FetchedWeights, now: () => number): Promise<void> {
  const startMs = now();
  const done = fetched.verify().then(() => {
    round.verifyMs = now() - startMs;
  });
  done.catch(() => undefined);
  return done;
}

/** The error of a round whose nodes fetched for themselves and got different bytes; null when they did not, as far as is known. */
export function nodesDiffer({ contentDigest, ready, weights }: Round): DistributionError | null {
  if (contentDigest === null) return null;
  const nodes = [...ready].filter(([, { digest }]) => digest !== null && digest !== contentDigest).map(([nodeRank]) => nodeRank);
  if (nodes.length === 0) return null;
  const text = `node${nodes.length === 1 ? "" : "s"} ${rankRanges(nodes)} read other weights than node 0 from ${quote(weights)}`;
  return new DistributionError("RANKCAST_NODES_DIFFER", text, { details: { nodes } });
}

/** A rank has loaded: the slowest one counts. */
export function noteLoaded(round: Round, payload: unknown): void {
  const { loadMs = 0, aheadMs = 0 } = (payload ?? {}) as { readonly loadMs?: number; readonly aheadMs?: number };
  round.loadMs = Math.max(round.loadMs, loadMs);
  round.aheadMs = Math.max(round.aheadMs, aheadMs);
}

/** Whether ranks have brought their part of the report. */
export function isReport(payloads: ReadonlyMap<number, unknown>): boolean {
  return payloads.size > 0 && [...payloads.values()].every((payload) => (payload as Partial<RankResult> | null)?.replicas !== undefined);
}
