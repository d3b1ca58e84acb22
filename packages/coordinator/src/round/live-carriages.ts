/**
 * Published versions on their way to other nodes, and there. A version is brought to a node once, however many of its ranks take it, and stays as
 * long as one of their subscriptions refers to it. Nodes that want it at the same moment are one broadcast; where all of them have the same earlier
 * version, only the difference travels.
 */
import type { BroadcastReport } from "@rankcast/core";
import type { SegmentDescriptor } from "@rankcast/core/runtime";
import type { WireError } from "../grpc/coordination-server.ts";

/** A version as its publisher has it. */
export interface CarriedVersion {
  readonly number: number;
  readonly segments: readonly SegmentDescriptor[];
  /** Of weights whose segments are written in turn: what later versions have in common with it. Null: every version is on its own. */
  readonly kept: { readonly lineage: string; readonly layout: string; readonly set: string } | null;
}

/** The way to the job's nodes. On one node nobody takes it. */
export interface LiveNodes {
  /**
   * Has node `owner` serve a version of one of its ranks, as the difference from `base` where that pays, and `targets` bring it; each answers, as does an
   * owner that cannot serve.
   */
  carry(sequence: number, owner: number, targets: readonly number[], version: CarriedVersion, base: CarriedVersion | null): void;
  /** The owner's answer to the question how the version differs; null when it travels whole. */
  encoded(sequence: number, segment: SegmentDescriptor | null): void;
  /** What travels to each target; null when nothing does yet. */
  travelled(sequence: number): BroadcastReport | null;
  /** The node stops serving, or gives the memory back. */
  drop(sequence: number, nodeRank: number): void;
}

/** A version in memory of a node. */
export interface BroughtVersion {
  readonly segments: readonly SegmentDescriptor[];
  /** Names memory that the node keeps. */
  readonly set: string | null;
  readonly travelled: BroadcastReport | null;
}

/** What a node says about a version that it was to bring or to serve. */
export type CarriageOutcome = Pick<BroughtVersion, "segments" | "set"> | { readonly cause: WireError };

interface Carriage {
  readonly version: CarriedVersion;
  readonly base: CarriedVersion | null;
  readonly owner: number;
  /** By node rank; null while the version is on its way. */
  readonly targets: Map<number, BroughtVersion | null>;
  isServed: boolean;
}

/** Rounds count below this, so that no broadcast has the name of another. */
const FIRST_SEQUENCE = 2 ** 31;

/** One node. */
export const NO_LIVE_NODES: LiveNodes = { carry: () => undefined, encoded: () => undefined, travelled: () => null, drop: () => undefined };

/** See the module comment. Knows no ranks and no subscriptions. */
export class LiveCarriages {
  readonly #nodes: LiveNodes;
  /** Whether a version's publisher may not write over it yet. */
  readonly #isLeased: (number: number) => boolean;
  readonly #open = new Map<number, Carriage>();
  #count = 0;

  constructor(nodes: LiveNodes, isLeased: (number: number) => boolean) {
    this.#nodes = nodes;
    this.#isLeased = isLeased;
  }

  /** Whether nothing is on its way or elsewhere. */
  get isEmpty(): boolean {
    return this.#open.size === 0;
  }

  /** Where version `number` lies on a node; null while it is on its way there, undefined when nobody brings it. */
  find(number: number, nodeRank: number): BroughtVersion | null | undefined {
    for (const { version, targets } of this.#open.values()) {
      const brought = version.number === number ? targets.get(nodeRank) : undefined;
      if (brought !== undefined) return brought;
    }
    return undefined;
  }

  /** Has a version brought to nodes that have it not. */
  carry(version: CarriedVersion, owner: number, targets: readonly number[]): void {
    const groups = new Map<CarriedVersion | null, number[]>();
    for (const nodeRank of targets) {
      const base = this.#baseOn(nodeRank, version);
      groups.set(base, [...(groups.get(base) ?? []), nodeRank]);
    }
    for (const [base, members] of groups) this.#carry(version, base, owner, members);
  }

  /** A node has answered. Gives the version and the nodes for which that decides, null when nothing is decided. */
  settle(
    sequence: number,
    nodeRank: number,
    outcome: CarriageOutcome,
  ): { readonly number: number; readonly nodes: readonly number[] } | null {
    const carriage = this.#open.get(sequence);
    if (!carriage) return null;
    const { version, base, owner, targets } = carriage;
    if (nodeRank === owner) {
      carriage.isServed = false;
      const waiting = [...targets].flatMap(([target, brought]) => (brought === null ? [target] : []));
      for (const target of waiting) this.#drop(sequence, carriage, target);
      return { number: version.number, nodes: waiting };
    }
    if (targets.get(nodeRank) !== null) return null;
    if ("segments" in outcome) {
      targets.set(nodeRank, { ...outcome, travelled: this.#nodes.travelled(sequence) });
      return { number: version.number, nodes: [nodeRank] };
    }
    targets.delete(nodeRank);
    if (base !== null && outcome.cause.code === "RANKCAST_DELTA") {
      // What the difference starts from has gone there meanwhile, or is another one: the version itself will do.
      this.#carry(version, null, owner, [nodeRank]);
      return null;
    }
    return { number: version.number, nodes: [nodeRank] };
  }

  /**
   * Gives back what no subscription refers to. While a node that is referred to still waits, all others go on serving: it may pull from them.
   * @param isWanted whether a subscription of the node refers to the version.
   */
  retain(isWanted: (number: number, nodeRank: number) => boolean): void {
    for (const [sequence, carriage] of this.#open) {
      const { version, owner, targets } = carriage;
      const wanted = new Set([...targets.keys()].filter((nodeRank) => isWanted(version.number, nodeRank)));
      if ([...wanted].some((nodeRank) => targets.get(nodeRank) === null)) continue;
      for (const nodeRank of [...targets.keys()]) if (!wanted.has(nodeRank)) this.#drop(sequence, carriage, nodeRank);
      if (carriage.isServed) this.#nodes.drop(sequence, owner);
      carriage.isServed = false;
      if (targets.size === 0) this.#open.delete(sequence);
    }
  }

  #carry(version: CarriedVersion, base: CarriedVersion | null, owner: number, targets: readonly number[]): void {
    const sequence = FIRST_SEQUENCE + (this.#count % FIRST_SEQUENCE);
    this.#count += 1;
    this.#open.set(sequence, { version, base, owner, targets: new Map(targets.map((nodeRank) => [nodeRank, null])), isServed: true });
    this.#nodes.carry(sequence, owner, targets, version, base);
  }

  /** The newest version of the same publisher and layout that lies on the node and is still whole at its publisher. */
  #baseOn(nodeRank: number, { number, kept }: CarriedVersion): CarriedVersion | null {
    let newest: CarriedVersion | null = null;
    for (const { version, targets } of this.#open.values()) {
      const isAlike = kept !== null && version.kept?.lineage === kept.lineage && version.kept.layout === kept.layout;
      const isThere = (targets.get(nodeRank)?.set ?? null) !== null;
      if (!isAlike || !isThere || version.number === number || !this.#isLeased(version.number)) continue;
      if (newest === null || version.number > newest.number) newest = version;
    }
    return newest;
  }

  #drop(sequence: number, { targets }: Carriage, nodeRank: number): void {
    targets.delete(nodeRank);
    this.#nodes.drop(sequence, nodeRank);
  }
}
