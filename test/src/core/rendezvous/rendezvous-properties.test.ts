/** What a rendezvous keeps, whatever happens. */
import { UsageError } from "@rankcast/core";
import {
  createRendezvousState,
  type Membership,
  type RendezvousEvent,
  type RendezvousState,
  stepRendezvous,
} from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";

const OPTIONS = { jobId: "j", protocol: 1, nodeCount: 3, maxRestarts: 2, firstEpoch: 5, joinTimeoutMs: 100, silenceMs: 60 };

/** Events with a little sense: nodes mostly join for the current epoch and report on it. */
type Move = { readonly node: number; readonly verb: string; readonly waitMs: number; readonly odd: number };

const VERBS: readonly (readonly [verb: string, weight: number])[] = [
  ["join", 40],
  ["ok", 30],
  ["heard", 10],
  ["fail", 3],
  ["lose", 3],
  ["abort", 1],
  ["timer", 4],
];

const MOVE: fc.Arbitrary<Move> = fc.record({
  node: fc.nat(3),
  verb: fc.oneof(...VERBS.map(([verb, weight]) => ({ arbitrary: fc.constant(verb), weight }))),
  waitMs: fc.nat(8),
  odd: fc.nat(9),
});

function eventOf({ node, verb, odd }: Move, state: RendezvousState, nowMs: number): RendezvousEvent {
  const nodeId = `n${node}`;
  const epoch = odd === 0 ? state.epoch - 1 : state.epoch;
  const error = { name: "Error", message: "no" };
  switch (verb) {
    case "join": {
      const nodeRank = node < 2 ? node : null;
      const announcement = {
        nodeId,
        jobId: "j",
        protocol: 1,
        nodeCount: 3,
        nodeRank,
        host: "h",
        pid: node,
        address: "a",
        localWorldSize: 1 + node,
        ranks: null,
      };
      return { type: "join", nowMs, epoch: odd === 1 ? null : epoch, node: announcement };
    }
    case "heard":
      return { type: "heard", nowMs, nodeId };
    case "ok":
      return { type: "report", nowMs, nodeId, epoch, outcome: { type: "succeeded" } };
    case "fail":
      return { type: "report", nowMs, nodeId, epoch, outcome: { type: "failed", error } };
    case "lose":
      return { type: "loss", nowMs, nodeId, reason: "gone" };
    case "abort":
      return odd === 2 ? { type: "abort", nowMs, nodeId, error } : { type: "timer", nowMs };
    default:
      return { type: "timer", nowMs };
  }
}

function checkMembership({ nodes, topology }: Membership): void {
  expect(nodes.map(({ nodeRank }) => nodeRank)).to.deep.equal([0, 1, 2]);
  expect(new Set(nodes.map(({ nodeId }) => nodeId)).size).to.equal(3);
  const ranks = nodes.flatMap((node) => node.ranks);
  expect([...ranks].sort((a, b) => a - b)).to.deep.equal(Array.from({ length: topology.worldSize }, (_, rank) => rank));
  for (const { nodeId, nodeRank } of nodes) if (["n0", "n1"].includes(nodeId)) expect(nodeId).to.equal(`n${nodeRank}`);
}

describe("rendezvous properties", () => {
  it("memberships are whole, epochs grow, restarts are bounded, and nothing starts after the end", () => {
    let successes = 0;
    let restarts = 0;
    fc.assert(
      fc.property(fc.array(MOVE, { minLength: 10, maxLength: 80, size: "max" }), (moves) => {
        let state = createRendezvousState(OPTIONS, 0);
        let nowMs = 0;
        const memberships = new Map<number, Membership>();
        let ended = false;
        for (const move of moves) {
          nowMs += move.waitMs;
          const before = state;
          const copy = structuredClone(before);
          const step = stepRendezvous(state, eventOf(move, state, nowMs));
          expect(before, "the old state was changed").to.deep.equal(copy);
          state = step.state;
          expect(state.epoch).to.be.within(before.epoch, before.epoch + 1);
          for (const instruction of step.instructions) {
            if (instruction.type === "start") {
              expect(ended).to.equal(false);
              const { membership } = instruction;
              checkMembership(membership);
              const known = memberships.get(membership.epoch);
              expect(known ?? membership).to.equal(membership);
              memberships.set(membership.epoch, membership);
            }
            if (instruction.type === "restart") restarts += 1;
            if (instruction.type === "end") {
              expect(ended, "it ended twice").to.equal(false);
              ended = true;
              if (instruction.outcome.type === "success") successes += 1;
            }
          }
          expect(state.epoch).to.be.at.most(OPTIONS.firstEpoch + OPTIONS.maxRestarts);
          expect(state.phase === "ended").to.equal(ended);
          expect(state.present.size).to.be.at.most(3);
          if (!ended && (state.phase === "gathering" || state.present.size > 0)) expect(state.timerDueMs).to.not.equal(null);
        }
      }),
      { numRuns: 400 },
    );
    // A run in which nothing happens proves nothing.
    expect(successes).to.be.greaterThan(5);
    expect(restarts).to.be.greaterThan(50);
  });

  it("a gathering always ends: the timer alone brings it there", () => {
    let state = createRendezvousState(OPTIONS, 0);
    state = stepRendezvous(state, { type: "timer", nowMs: 0 }).state;
    for (let turns = 0; state.phase !== "ended" && turns < 10; turns += 1) {
      state = stepRendezvous(state, { type: "timer", nowMs: state.timerDueMs ?? 0 }).state;
    }
    expect(state.outcome).to.have.nested.property("cause.kind", "timeout");
  });

  it("refuses impossible options", () => {
    for (const wrong of [
      { nodeCount: 0 },
      { nodeCount: 1.5 },
      { maxRestarts: -1 },
      { firstEpoch: -1 },
      { joinTimeoutMs: 0 },
      { silenceMs: Number.NaN },
    ]) {
      expect(() => createRendezvousState({ ...OPTIONS, ...wrong }, 0)).to.throw(UsageError);
    }
  });
});
