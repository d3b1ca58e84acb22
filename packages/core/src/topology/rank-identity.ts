/** Who a rank is: six numbers that must agree with each other, each known from a named variable or derived. */
import { UsageError } from "../errors/checkpoint-error.ts";

/** Position of one rank in its job. All counts are at least 1, all positions start at 0. */
export interface RankIdentity {
  readonly rank: number;
  /** Position among the ranks of this node. */
  readonly localRank: number;
  readonly nodeRank: number;
  readonly worldSize: number;
  readonly localWorldSize: number;
  readonly nodeCount: number;
}

/** An identity as far as one process can know it alone; the nodes' part may only become known when all ranks have met. */
export interface UnsettledIdentity {
  readonly rank: number;
  readonly localRank: number;
  readonly worldSize: number;
  readonly nodeRank: number | null;
  readonly localWorldSize: number | null;
  readonly nodeCount: number | null;
}

/** One number and the variable that claims it, so that a contradiction can name both sides. */
export interface Claim {
  readonly value: number;
  readonly variable: string;
}

/** What a launcher's variables claim. */
export type Claims = { readonly [field in keyof RankIdentity]?: Claim | undefined };

type Field = keyof RankIdentity;

/** `smaller` must be below (or at most, when `equal`) `larger`, because of `why`. */
const ORDERS: readonly { smaller: Field; larger: Field; equal: boolean; why: string }[] = [
  { smaller: "rank", larger: "worldSize", equal: false, why: "ranks count from 0" },
  { smaller: "localRank", larger: "localWorldSize", equal: false, why: "local ranks count from 0" },
  { smaller: "nodeRank", larger: "nodeCount", equal: false, why: "node ranks count from 0" },
  { smaller: "localWorldSize", larger: "worldSize", equal: true, why: "a node's ranks are part of the world" },
  { smaller: "nodeCount", larger: "worldSize", equal: true, why: "every node has at least one rank" },
  { smaller: "localRank", larger: "rank", equal: true, why: "local ranks follow the order of ranks" },
];

/**
 * Derives what follows from the claims and checks that they agree. A world of one rank, or of one node, needs no further claims.
 * @throws {UsageError} RANKCAST_RANK_VARIABLES naming the variables when rank, local rank or world size is missing, or two claims contradict each other.
 */
export function settleClaims(claims: Claims): UnsettledIdentity {
  const all = derive(claims);
  for (const field of ["rank", "worldSize", "localRank"] as const) {
    if (all[field] === undefined) throw contradiction(claims, `${field} is unknown and does not follow from the others`);
  }
  checkClaims(all);
  return {
    rank: all.rank?.value ?? 0,
    localRank: all.localRank?.value ?? 0,
    worldSize: all.worldSize?.value ?? 1,
    nodeRank: all.nodeRank?.value ?? null,
    localWorldSize: all.localWorldSize?.value ?? null,
    nodeCount: all.nodeCount?.value ?? null,
  };
}

/** True when every number is known. */
export function isSettled(identity: UnsettledIdentity): identity is RankIdentity {
  return identity.nodeRank !== null && identity.localWorldSize !== null && identity.nodeCount !== null;
}

/** An error that shows every claim with its variable. */
export function contradiction(claims: Claims, why: string): UsageError {
  const seen = Object.values(claims).filter((claim) => claim !== undefined);
  const variables = [...new Set(seen.map((claim) => claim.variable))];
  const text = seen.map((claim) => `${claim.variable} says ${claim.value}`).join(", ");
  return new UsageError("RANKCAST_RANK_VARIABLES", `rank variables contradict each other: ${why} (${text})`, { details: { variables } });
}

function derive(claims: Claims): Claims {
  const { worldSize, localWorldSize, nodeCount } = claims;
  const onlyRank = worldSize?.value === 1 ? worldSize : undefined;
  const onlyNode = nodeCount?.value === 1 ? nodeCount : undefined;
  const local = localWorldSize ?? onlyRank ?? (onlyNode && worldSize);
  const oneNode = local !== undefined && local.value === worldSize?.value ? local : undefined;
  const one = oneNode && { value: 1, variable: oneNode.variable };
  const zero = oneNode && { value: 0, variable: oneNode.variable };
  return {
    rank: claims.rank ?? (onlyRank && zero),
    localRank: claims.localRank ?? (oneNode && claims.rank) ?? (onlyRank && zero),
    worldSize,
    localWorldSize: local,
    nodeRank: claims.nodeRank ?? zero,
    nodeCount: nodeCount ?? one,
  };
}

function checkClaims(claims: Claims): void {
  for (const field of ["worldSize", "localWorldSize", "nodeCount"] as const) {
    if (claims[field]?.value === 0) throw contradiction({ [field]: claims[field] }, `${field} must be at least 1`);
  }
  for (const { smaller, larger, equal, why } of ORDERS) {
    const low = claims[smaller];
    const high = claims[larger];
    if (low === undefined || high === undefined) continue;
    if (low.value > high.value || (low.value === high.value && !equal)) {
      throw contradiction(
        { [smaller]: low, [larger]: high },
        `${smaller} must be ${equal ? "at most" : "below"} ${larger}, because ${why}`,
      );
    }
  }
  const { worldSize, localWorldSize, nodeCount } = claims;
  if (worldSize === undefined || localWorldSize === undefined || nodeCount === undefined) return;
  const others = worldSize.value - localWorldSize.value;
  if (others < nodeCount.value - 1 || (nodeCount.value === 1 && others > 0)) {
    throw contradiction(
      { worldSize, localWorldSize, nodeCount },
      `${others} ranks are left for ${nodeCount.value - 1} other nodes, each of which has at least one`,
    );
  }
}
