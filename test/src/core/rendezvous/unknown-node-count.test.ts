/** Launchers that do not say how many nodes there are: the job is whole when its ranks are there. */
import { createRendezvousState, nodeFailureError, nodeRefusalError, type RendezvousState, stepRendezvous } from "@rankcast/core/internal";
import { expect } from "chai";

const OPTIONS = {
  jobId: "j",
  protocol: 1,
  nodeCount: null,
  worldSize: 5,
  maxRestarts: 0,
  firstEpoch: 0,
  joinTimeoutMs: 100,
  silenceMs: 1000,
};

function join(state: RendezvousState, nodeId: string, ranks: readonly number[], worldSize = 5) {
  const node = {
    ...{ nodeId, jobId: "j", protocol: 1, nodeCount: null, nodeRank: null, host: nodeId, pid: 1, address: "a" },
    ...{ localWorldSize: ranks.length, ranks, worldSize },
  };
  return stepRendezvous(state, { type: "join", nowMs: 1, node, epoch: null });
}

describe("rendezvous without a number of nodes", () => {
  it("starts when the announced ranks are the world, nodes numbered by their lowest rank", () => {
    let step = join(createRendezvousState(OPTIONS, 0), "b", [1, 3]);
    expect(step.instructions[0]).to.include({ type: "wait", nodeCount: null, joined: 1 });
    step = join(step.state, "c", [4]);
    step = join(step.state, "a", [0, 2]);
    const [start] = step.instructions;
    if (start?.type !== "start") throw new Error(`expected a start, found ${start?.type}`);
    expect(start.membership.nodes.map(({ nodeId, nodeRank, ranks }) => [nodeId, nodeRank, ranks])).to.deep.equal([
      ["a", 0, [0, 2]],
      ["b", 1, [1, 3]],
      ["c", 2, [4]],
    ]);
    expect(join(step.state, "d", [0]).instructions[0]).to.deep.include({ type: "refuse", refusal: { kind: "full", nodeCount: null } });
  });

  it("names the ranks whose nodes did not come", () => {
    const { state } = join(createRendezvousState(OPTIONS, 0), "b", [1, 3]);
    const { instructions } = stepRendezvous(state, { type: "timer", nowMs: 200 });
    const end = instructions.find((each) => each.type === "end");
    if (end?.type !== "end" || end.outcome.type !== "failure") throw new Error("expected the end");
    const error = nodeFailureError(end.outcome.cause);
    expect(error.code).to.equal("RANKCAST_NODES_MISSING");
    expect(error.message).to.contain("ranks 0,2,4 did not join");
    expect(error.details["missingRanks"]).to.deep.equal([0, 2, 4]);
  });

  it("waits for no one before the head itself is ready, however long that takes", () => {
    const unready = join(createRendezvousState({ ...OPTIONS, silenceMs: 5000 }, Number.POSITIVE_INFINITY), "b", [1, 3]).state;
    const early = stepRendezvous(unready, { type: "timer", nowMs: 900 });
    expect(early.state.phase).to.equal("gathering");
    const ready = stepRendezvous(early.state, { type: "ready", nowMs: 950 });
    expect(ready.instructions).to.deep.equal([{ type: "setTimer", dueMs: 1050 }]);
    // Said again, it moves nothing.
    const again = stepRendezvous(ready.state, { type: "ready", nowMs: 1000 });
    expect(stepRendezvous(again.state, { type: "timer", nowMs: 1050 }).state.phase).to.equal("ended");
  });

  it("refuses another size of the world, and ranks that two nodes claim", () => {
    const { state } = join(createRendezvousState(OPTIONS, 0), "b", [1, 3]);
    const [refused] = join(state, "c", [4], 6).instructions;
    if (refused?.type !== "refuse") throw new Error("expected a refusal");
    expect(refused.refusal).to.deep.equal({ kind: "wrong-world-size", expected: 5, found: 6 });
    expect(nodeRefusalError(refused.refusal).code).to.equal("RANKCAST_NODE_COUNT");
    const twice = join(state, "c", [1, 2, 4]).instructions.find((each) => each.type === "end");
    if (twice?.type !== "end" || twice.outcome.type !== "failure") throw new Error("expected the end");
    expect(nodeFailureError(twice.outcome.cause).code).to.equal("RANKCAST_TOPOLOGY");
  });
});
