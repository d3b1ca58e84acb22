/** Plans, chunks and sets of chunks: properties over random offers. */
import { compileLimits } from "@rankcast/core";
import {
  type BroadcastOffer,
  type BroadcastPlan,
  CHAIN_NODES_MAX,
  ChunkSet,
  chainMs,
  checkOffer,
  chooseChunkBytes,
  chooseConnections,
  contentDigest,
  DEFAULT_HOP,
  hopMs,
  layoutChunks,
  planBroadcast,
} from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";

const MIB = 2 ** 20;

function offerOf(nodes: number, chunks: number, more: Partial<BroadcastOffer> = {}): BroadcastOffer {
  return {
    id: { jobId: "job", epoch: 1, sequence: 2 },
    segmentBytes: [chunks * 8],
    chunkBytes: 8,
    owners: [0],
    nodes: Array.from({ length: nodes }, (_, nodeRank) => ({ nodeRank, address: `host-${nodeRank}:1` })),
    ...more,
  };
}

/** When the last node has the last chunk, sent as planned: a node's card carries one chunk at a time, to its successors in turn. */
function lastArrivalMs(plan: BroadcastPlan, chunkMs: number, hop: number): number {
  const arrivals = new Map<number, number[]>([[0, new Array<number>(plan.layout.count).fill(0)]]);
  let last = 0;
  for (const [rank, here] of arrivals) {
    const there = plan.node(rank).successors.map((): number[] => []);
    let free = 0;
    for (const atMs of here) {
      for (const each of there) {
        free = Math.max(free, atMs) + chunkMs;
        each.push(free + hop);
      }
    }
    plan.node(rank).successors.forEach((successor, at) => {
      arrivals.set(successor, there[at] ?? []);
    });
    last = Math.max(last, here.at(-1) ?? 0);
  }
  return last;
}

describe("broadcast plan", () => {
  it("cuts every byte of every segment into exactly one chunk", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(50), { maxLength: 8 }), fc.integer({ min: 1, max: 12 }), (segmentBytes, chunkBytes) => {
        const layout = layoutChunks({ segmentBytes, chunkBytes });
        const covered = segmentBytes.map(() => 0);
        for (let index = 0; index < layout.count; index += 1) {
          const { segment, offset, length } = layout.chunk(index);
          expect(offset).to.equal(covered[segment]);
          expect(length).to.be.within(1, chunkBytes);
          covered[segment] = offset + length;
        }
        expect(covered).to.deep.equal(segmentBytes);
      }),
    );
  });

  it("brings every chunk from its owner to every node, and sources begin with the planned one", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 300 }),
        fc.integer({ min: 1, max: 100 }),
        fc.nat(),
        fc.boolean(),
        (nodes, chunks, at, striped) => {
          const owners = striped ? Array.from({ length: nodes }, (_, rank) => rank) : [at % nodes];
          const plan = planBroadcast(offerOf(nodes, chunks, { owners }));
          const parts = Array.from({ length: nodes }, (_, rank) => plan.node(rank));
          // Owned exactly once.
          for (let chunk = 0; chunk < chunks; chunk += 1) expect(parts.filter(({ own }) => own.has(chunk))).to.have.length(1);
          for (const { nodeRank, sources, successors, own } of parts) {
            expect(new Set([nodeRank, ...(own.full ? [nodeRank] : sources)]).size).to.equal(own.full ? 1 : nodes);
            for (const each of successors) if (!(parts[each]?.own.full ?? false)) expect(parts[each]?.sources[0]).to.equal(nodeRank);
            // Nobody sends everything more than twice.
            expect(successors.length).to.be.at.most(2);
          }
          if (!striped) {
            // Following the planned sources up ends at the owner.
            for (const part of parts) {
              let steps = 0;
              for (let rank = part.nodeRank; rank !== owners[0]; steps += 1) rank = parts[rank]?.sources[0] ?? -1;
              expect(steps).to.be.below(nodes);
            }
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  const large = (nodes: number, chunks: number, more: Partial<BroadcastOffer> = {}): BroadcastOffer =>
    offerOf(nodes, chunks, { chunkBytes: 4 * MIB, segmentBytes: [chunks * 4 * MIB], ...more });

  it("is a chain up to 64 nodes and where there is much to send, chains under a tree otherwise", () => {
    expect(planBroadcast(large(CHAIN_NODES_MAX, 1)).shape).to.equal("chain");
    expect(planBroadcast(large(1024, 16)).shape).to.equal("tree");
    expect(planBroadcast(large(1024, 4000)).shape).to.equal("chain");
    expect(planBroadcast(large(8, 16, { owners: [0, 1, 2] })).shape).to.equal("ring");
    const depths = new Map([[0, 0]]);
    const plan = planBroadcast(large(1024, 16));
    for (const [rank, depth] of depths) for (const each of plan.node(rank).successors) depths.set(each, depth + 1);
    expect(depths.size).to.equal(1024);
    expect(Math.max(...depths.values())).to.be.at.most(CHAIN_NODES_MAX + 5);
  });

  it("counts what a hop costs: latency makes trees of what would be chains, a slow link chains of trees", () => {
    const hop = { roundTripMs: 0.2, handlingMs: 2, bytesPerSecond: 1.25e9 };
    expect(planBroadcast(large(1024, 2000, { hop })).shape).to.equal("chain");
    expect(planBroadcast(large(1024, 2000, { hop: { ...hop, roundTripMs: 30 } })).shape).to.equal("tree");
    expect(planBroadcast(large(1024, 1500, { hop: { ...hop, bytesPerSecond: 1.25e9 } })).shape).to.equal("tree");
    expect(planBroadcast(large(1024, 1500, { hop: { ...hop, bytesPerSecond: 1.25e8 } })).shape).to.equal("chain");
    // Another plan is another broadcast.
    const slow = { ...hop, bytesPerSecond: 1.25e8 };
    expect(planBroadcast(large(1024, 1500)).digest).to.not.equal(planBroadcast(large(1024, 1500, { hop: slow })).digest);
  });

  it("takes the shape that its own prediction, chunk by chunk, finds fastest", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 65, max: 600 }),
        fc.integer({ min: 1, max: 300 }),
        fc.constantFrom(0.1, 1, 20),
        fc.constantFrom(1.25e8, 1.25e9, 1.25e10),
        (nodes, chunkCount, roundTripMs, bytesPerSecond) => {
          const hop = { roundTripMs, handlingMs: 2, bytesPerSecond };
          const plan = planBroadcast(large(nodes, chunkCount, { hop }));
          const chunkMs = (4 * MIB * 1000) / bytesPerSecond;
          const took = lastArrivalMs(plan, chunkMs, hopMs(hop));
          const chain = chunkCount * chunkMs + hopMs(hop) + (nodes - 2) * (chunkMs + hopMs(hop));
          expect(chainMs(nodes, { chunkCount, chunkBytes: 4 * MIB, hop })).to.be.closeTo(chain, 1e-6 * chain);
          expect(took).to.be.at.most(chain * (1 + 1e-9));
          if (plan.shape === "chain") expect(took).to.be.closeTo(chain, 1e-6 * chain);
        },
      ),
      { numRuns: 40 },
    );
  });

  it("is the same for the same offer, and another for any other", () => {
    const offer = offerOf(5, 9);
    expect(planBroadcast(structuredClone(offer)).digest).to.equal(planBroadcast(offer).digest);
    const digest = (more: Partial<BroadcastOffer>) => Buffer.from(contentDigest({ ...offer, ...more })).toString("hex");
    const others = [
      { id: { ...offer.id, jobId: "job2" } },
      { id: { ...offer.id, epoch: 2 } },
      { id: { ...offer.id, sequence: 3 } },
      { segmentBytes: [9 * 8 + 1] },
      { segmentBytes: [8, 8 * 8] },
      { chunkBytes: 16 },
    ];
    expect(new Set([{}, ...others].map(digest)).size).to.equal(others.length + 1);
    expect(planBroadcast({ ...offer, owners: [1] }).digest).to.not.equal(planBroadcast(offer).digest);
  });

  it("chooses chunks that fill a chain in a twentieth of the transfer, from 1 to 4 MiB", () => {
    expect(chooseChunkBytes(64 * MIB, 8)).to.equal(MIB);
    expect(chooseChunkBytes(1024 * MIB, 2)).to.equal(4 * MIB);
    expect(chooseChunkBytes(1024 * MIB, 16)).to.equal(2 * MIB);
    expect(chooseChunkBytes(1, 1000)).to.equal(MIB);
  });

  it("chooses one connection on a machine and for what is small, a few between machines, more where one window does not fill the way", () => {
    const terms = { totalBytes: 1024 * MIB, nodeCount: 2, oneMachine: false, hop: DEFAULT_HOP };
    expect(chooseConnections(terms)).to.equal(4);
    expect(chooseConnections({ ...terms, oneMachine: true })).to.equal(1);
    expect(chooseConnections({ ...terms, totalBytes: 8 * MIB })).to.equal(1);
    expect(chooseConnections({ ...terms, totalBytes: 64 * MIB })).to.equal(2);
    const far = { ...DEFAULT_HOP, roundTripMs: 60 };
    expect(chooseConnections({ ...terms, hop: far })).to.equal(8);
    // A chain pays at every hop for chunks that arrive together.
    expect(chooseConnections({ ...terms, nodeCount: 8 })).to.equal(4);
    expect(chooseConnections({ ...terms, nodeCount: 20 })).to.equal(2);
    expect(chooseConnections({ ...terms, nodeCount: 64 })).to.equal(1);
    expect(chooseConnections({ ...terms, nodeCount: 64, totalBytes: 100 * 1024 * MIB })).to.equal(4);
    expect(chooseConnections({ ...terms, nodeCount: 8, totalBytes: 64 * MIB })).to.equal(1);
    expect(chooseChunkBytes(1024 * MIB, 8, 1)).to.equal(4 * MIB);
    expect(chooseChunkBytes(1024 * MIB, 8, 4)).to.equal(2 * MIB);
  });

  it("refuses offers that cannot be carried out", () => {
    const limits = compileLimits({ broadcastChunks: 100 });
    checkOffer(offerOf(3, 100), limits);
    const wrong: Partial<BroadcastOffer>[] = [
      { chunkBytes: 0 },
      { chunkBytes: 2 ** 40 },
      { connections: 0 },
      { connections: 17 },
      { connections: 1.5 },
      { hop: { roundTripMs: -1, handlingMs: 0, bytesPerSecond: 1 } },
      { hop: { roundTripMs: 0, handlingMs: 0, bytesPerSecond: 0 } },
      { hop: { roundTripMs: Number.POSITIVE_INFINITY, handlingMs: 0, bytesPerSecond: 1 } },
      { segmentBytes: [-1] },
      { segmentBytes: [801] },
      { segmentBytes: [Number.NaN] },
      { owners: [] },
      { owners: [3] },
      { owners: [1, 1] },
      { nodes: [] },
      { id: { jobId: "job", epoch: -1, sequence: 0 } },
    ];
    for (const each of wrong) {
      expect(() => checkOffer(offerOf(3, 10, each), limits), JSON.stringify(each))
        .to.throw()
        .with.property("code", "RANKCAST_BROADCAST_OFFER");
    }
  });
});

describe("chunk sets", () => {
  const members = fc.tuple(fc.integer({ min: 0, max: 100 }), fc.array(fc.nat(99)), fc.array(fc.nat(99)));

  it("do what sets of numbers do", () => {
    fc.assert(
      fc.property(members, ([size, first, second]) => {
        const make = (indexes: readonly number[]) =>
          indexes.filter((each) => each < size).reduce((set, each) => set.with(each), ChunkSet.none(size));
        const [a, b] = [make(first), make(second)];
        const [listA, listB] = [a, b].map((set) => Array.from({ length: size }, (_, index) => index).filter((index) => set.has(index)));
        const [inA, inB] = [new Set(listA), new Set(listB)];
        expect(a.count).to.equal(inA.size);
        expect(a.minus(b).count).to.equal([...inA].filter((each) => !inB.has(each)).length);
        expect(a.and(b).count).to.equal([...inA].filter((each) => inB.has(each)).length);
        expect(a.complement().count).to.equal(size - inA.size);
        expect(a.firstShared(b)).to.equal(listA?.find((each) => inB.has(each)) ?? -1);
        expect(ChunkSet.fromBytes(size, a.toBytes()).minus(a).count).to.equal(0);
        expect(ChunkSet.fromBytes(size, a.toBytes()).count).to.equal(a.count);
        for (const each of listA ?? []) expect(a.without(each).has(each)).to.equal(false);
      }),
    );
  });

  it("refuse bitmaps of another size", () => {
    expect(() => ChunkSet.fromBytes(9, new Uint8Array(1))).to.throw(RangeError);
    expect(() => ChunkSet.fromBytes(9, Uint8Array.of(0, 2))).to.throw(RangeError);
    expect(() => ChunkSet.none(4).with(4)).to.throw(RangeError);
  });
});
