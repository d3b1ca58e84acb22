/**
 * Published versions on their way to other nodes, and there. A version is brought to a node once, however many of its ranks take it, and stays as
 * long as one of their subscriptions refers to it. Nodes that want it at the same moment are one broadcast.
 */
import type { SegmentDescriptor } from "@rankcast/core/runtime";
import type { WireError } from "../grpc/coordination-server.ts";

/** The way to the job's nodes. On one node nobody takes it. */
export interface LiveNodes {
  /** Has node `owner` serve the segments of one of its ranks, and `targets` bring them; each answers, as does an owner that cannot serve. */
  carry(sequence: number, owner: number, targets: readonly number[], segments: readonly SegmentDescriptor[]): void;
  /** The node stops serving, or gives the memory back. */
  drop(sequence: number, nodeRank: number): void;
}

/** What a node says about a version that it was to bring or to serve. */
export type CarriageOutcome = { readonly segments: readonly SegmentDescriptor[] } | { readonly cause: WireError };

interface Carriage {
  readonly number: number;
  readonly owner: number;
  /** By node rank; null while the version is on its way. */
  readonly targets: Map<number, readonly SegmentDescriptor[] | null>;
  isServed: boolean;
}

/** Rounds count below this, so that no broadcast has the name of another. */
const FIRST_SEQUENCE = 2 ** 31;

/** One node. */
export const NO_LIVE_NODES: LiveNodes = { carry: () => undefined, drop: () => undefined };

/** See the module comment. Knows no ranks and no subscriptions. */
export class LiveCarriages {
  readonly #nodes: LiveNodes;
  readonly #open = new Map<number, Carriage>();
  #count = 0;

  constructor(nodes: LiveNodes) {
    this.#nodes = nodes;
  }

  /** Whether nothing is on its way or elsewhere. */
  get isEmpty(): boolean {
    return this.#open.size === 0;
  }

  /** Where version `number` lies on a node; null while it is on its way there, undefined when nobody brings it. */
  find(number: number, nodeRank: number): readonly SegmentDescriptor[] | null | undefined {
    for (const carriage of this.#open.values()) {
      const segments = carriage.number === number ? carriage.targets.get(nodeRank) : undefined;
      if (segments !== undefined) return segments;
    }
    return undefined;
  }

  /** Has a version brought to nodes that have it not. */
  carry(number: number, owner: number, targets: readonly number[], segments: readonly SegmentDescriptor[]): void {
    const sequence = FIRST_SEQUENCE + (this.#count % FIRST_SEQUENCE);
    this.#count += 1;
    this.#open.set(sequence, { number, owner, targets: new Map(targets.map((nodeRank) => [nodeRank, null])), isServed: true });
    this.#nodes.carry(sequence, owner, targets, segments);
  }

  /** A node has answered. Gives the version and the nodes for which that decides, null when it comes too late. */
  settle(
    sequence: number,
    nodeRank: number,
    outcome: CarriageOutcome,
  ): { readonly number: number; readonly nodes: readonly number[] } | null {
    const carriage = this.#open.get(sequence);
    if (!carriage) return null;
    const { number, owner, targets } = carriage;
    if (nodeRank === owner) {
      carriage.isServed = false;
      const waiting = [...targets].flatMap(([target, segments]) => (segments === null ? [target] : []));
      for (const target of waiting) this.#drop(sequence, carriage, target);
      return { number, nodes: waiting };
    }
    if (targets.get(nodeRank) !== null) return null;
    if ("segments" in outcome) targets.set(nodeRank, outcome.segments);
    else targets.delete(nodeRank);
    return { number, nodes: [nodeRank] };
  }

  /**
   * Gives back what no subscription refers to. While a node that is referred to still waits, all others go on serving: it may pull from them.
   * @param isWanted whether a subscription of the node refers to the version.
   */
  retain(isWanted: (number: number, nodeRank: number) => boolean): void {
    for (const [sequence, carriage] of this.#open) {
      const { number, owner, targets } = carriage;
      const wanted = new Set([...targets.keys()].filter((nodeRank) => isWanted(number, nodeRank)));
      if ([...wanted].some((nodeRank) => targets.get(nodeRank) === null)) continue;
      for (const nodeRank of [...targets.keys()]) if (!wanted.has(nodeRank)) this.#drop(sequence, carriage, nodeRank);
      if (carriage.isServed) this.#nodes.drop(sequence, owner);
      carriage.isServed = false;
      if (targets.size === 0) this.#open.delete(sequence);
    }
  }

  #drop(sequence: number, { targets }: Carriage, nodeRank: number): void {
    targets.delete(nodeRank);
    this.#nodes.drop(sequence, nodeRank);
  }
}
