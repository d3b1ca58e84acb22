/** Plans, chunks and sets of chunks: properties over random offers. */
import { compileLimits } from "@rankcast/core";
import {
  type BroadcastOffer,
  CHAIN_NODES_MAX,
  ChunkSet,
  checkOffer,
  chooseChunkBytes,
  contentDigest,
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

  it("is a chain up to 64 nodes and where there is much to send, chains under a tree otherwise", () => {
    expect(planBroadcast(offerOf(CHAIN_NODES_MAX, 1)).shape).to.equal("chain");
    expect(planBroadcast(offerOf(1024, 16)).shape).to.equal("tree");
    expect(planBroadcast(offerOf(1024, 4000)).shape).to.equal("chain");
    expect(planBroadcast(offerOf(8, 16, { owners: [0, 1, 2] })).shape).to.equal("ring");
    const depths = new Map([[0, 0]]);
    const plan = planBroadcast(offerOf(1024, 16));
    for (const [rank, depth] of depths) for (const each of plan.node(rank).successors) depths.set(each, depth + 1);
    expect(depths.size).to.equal(1024);
    expect(Math.max(...depths.values())).to.be.at.most(CHAIN_NODES_MAX + 5);
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

  it("refuses offers that cannot be carried out", () => {
    const limits = compileLimits({ broadcastChunks: 100 });
    checkOffer(offerOf(3, 100), limits);
    const wrong: Partial<BroadcastOffer>[] = [
      { chunkBytes: 0 },
      { chunkBytes: 2 ** 40 },
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
