import { DistributionError, UsageError } from "@rankcast/core";
import {
  blockTopology,
  createTopology,
  expandHostList,
  expandTaskCounts,
  headOfPods,
  identityOf,
  rankRanges,
  readHostFacts,
  topologyDigest,
  topologyFromSightings,
} from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";

describe("topology", () => {
  it("places ranks block by block", () => {
    const topology = blockTopology([2, 1, 3]);
    expect(topology.nodes.map((node) => node.ranks)).to.deep.equal([[0, 1], [2], [3, 4, 5]]);
    expect(identityOf(topology, 4)).to.deep.equal({ rank: 4, localRank: 1, nodeRank: 2, worldSize: 6, localWorldSize: 3, nodeCount: 3 });
  });

  it("keeps cyclic placements and sorts each node's ranks", () => {
    expect(identityOf(createTopology([[3, 0, 2], [1]]), 3)).to.include({ localRank: 2, nodeRank: 0 });
  });

  it("numbers nodes by their lowest rank whatever order the sightings come in", () => {
    const sightings = [3, 0, 2, 1].map((rank) => ({ rank, nodeKey: rank % 2 === 0 ? "zeta" : "alpha" }));
    expect(topologyFromSightings(sightings).nodes.map((node) => node.ranks)).to.deep.equal([
      [0, 2],
      [1, 3],
    ]);
  });

  for (const [title, nodes] of [
    ["a missing rank", [[0], [2]]],
    ["a rank on two nodes", [[0, 1], [1]]],
    ["a node without ranks", [[0], []]],
    ["no node at all", []],
  ] as const) {
    it(`refuses ${title}`, () => {
      expect(() => createTopology(nodes))
        .to.throw(DistributionError)
        .with.property("code", "RANKCAST_TOPOLOGY");
    });
  }

  it("refuses to identify a rank outside the world", () => {
    expect(() => identityOf(blockTopology([1]), 1)).to.throw(DistributionError);
  });

  it("has one digest per placement", () => {
    expect(topologyDigest(blockTopology([2, 2]))).to.equal(
      topologyDigest(
        createTopology([
          [1, 0],
          [2, 3],
        ]),
      ),
    );
    const others = [
      blockTopology([4]),
      blockTopology([1, 3]),
      createTopology([
        [0, 2],
        [1, 3],
      ]),
      createTopology([
        [2, 3],
        [0, 1],
      ]),
    ];
    expect(new Set([...others, blockTopology([2, 2])].map(topologyDigest)).size).to.equal(5);
  });

  it("identifies every rank of any placement", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 6 }), (sizes) => {
        const topology = blockTopology(sizes);
        for (let rank = 0; rank < topology.worldSize; rank += 1) {
          const { nodeRank, localRank } = identityOf(topology, rank);
          expect(topology.nodes[nodeRank]?.ranks[localRank]).to.equal(rank);
        }
      }),
    );
  });
});

describe("rankRanges", () => {
  it("joins neighbours", () => {
    expect(rankRanges([9, 3, 7, 8, 3])).to.equal("3,7-9");
    expect(rankRanges([])).to.equal("none");
    expect(rankRanges([0, 1])).to.equal("0-1");
  });

  it("can be read back for any set", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(70), { minLength: 1 }), (ranks) => {
        const read = rankRanges(ranks)
          .split(",")
          .flatMap((range) => {
            const [first = 0, last = first] = range.split("-").map(Number);
            return Array.from({ length: last - first + 1 }, (_, at) => first + at);
          });
        expect(read).to.deep.equal([...ranks].sort((a, b) => a - b));
      }),
    );
  });
});

describe("Slurm's lists", () => {
  it("expands task counts", () => {
    expect(expandTaskCounts("2(x4),3", "V")).to.deep.equal([2, 2, 2, 2, 3]);
    expect(expandTaskCounts("7", "V")).to.deep.equal([7]);
  });

  it("expands host names", () => {
    expect(expandHostList("n[0-3,7]", "V")).to.deep.equal(["n0", "n1", "n2", "n3", "n7"]);
    expect(expandHostList("login,n[08-10]x", "V")).to.deep.equal(["login", "n08x", "n09x", "n10x"]);
    expect(expandHostList("r[0-1]n[1,3]", "V")).to.deep.equal(["r0n1", "r0n3", "r1n1", "r1n3"]);
  });

  for (const text of ["", "2(x)", "2x4", "-1", "2(x99999999)", "1(x65537)", "2,,3", "a"]) {
    it(`refuses the task counts ${JSON.stringify(text)}`, () => {
      expect(() => expandTaskCounts(text, "SLURM_X")).to.throw(UsageError, "SLURM_X");
    });
  }

  for (const text of ["", "n[0-", "n0]", "n[3-1]", "n[]", "n[a]", "a,,b", "n[0-99999999]", "n[0-999][0-999]", "n[[0-1]]"]) {
    it(`refuses the hosts ${JSON.stringify(text)}`, () => {
      expect(() => expandHostList(text, "SLURM_X")).to.throw(UsageError, "SLURM_X");
    });
  }
});

describe("host facts", () => {
  it("finds CPUs and a key of the machine", () => {
    const facts = readHostFacts();
    expect(facts.cpuCount).to.be.at.least(1);
    expect(facts.acceleratorCount).to.be.at.least(0);
    expect(facts).to.deep.equal(readHostFacts());
    expect(facts.nodeKey).to.not.equal("");
  });

  it("derives the head of indexed pods from their names", () => {
    expect(headOfPods("job-12.svc", 12)?.host).to.equal("job-0.svc");
    expect(headOfPods("job-12", 2)).to.equal(null);
    expect(headOfPods("laptop", 0)).to.equal(null);
  });
});
