/** Chunks in any order and any number of times make the same bytes, and verified bytes are never written again. */
import { ChunkIntake, encodeHead, FrameParser, headDigest } from "@rankcast/coordinator/internal";
import { contentDigest, extendChecksum, layoutChunks, startChecksum } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";
import { randomBytes } from "../../support/random-bytes.js";

const offer = {
  id: { jobId: "job", epoch: 0, sequence: 0 },
  segmentBytes: [40, 7, 25],
  chunkBytes: 10,
  owners: [0],
  nodes: [],
};
const layout = layoutChunks(offer);
const digest = contentDigest(offer);
const truth = offer.segmentBytes.map((nbytes, at) => randomBytes(Math.ceil(nbytes / 4) * 4, at + 1).subarray(0, nbytes));

/** The frame of a chunk; `spoilt` has a wrong byte. */
function frame(index: number, spoilt: boolean): Buffer {
  const chunk = layout.chunk(index);
  const bytes = Buffer.from(truth[chunk.segment]?.subarray(chunk.offset, chunk.offset + chunk.length) ?? []);
  const checksum = extendChecksum(startChecksum(digest, chunk), bytes);
  if (spoilt) bytes[0] = (bytes[0] ?? 0) ^ 255;
  const head = encodeHead({ type: "chunk", digest: headDigest(digest), number: index, checksum, payloadBytes: bytes.length });
  return Buffer.concat([head, bytes]);
}

describe("chunk intake", () => {
  it("gives the same bytes for any order, repetition and cut of the stream", () => {
    const sequence = fc.array(fc.record({ index: fc.nat(layout.count - 1), spoilt: fc.boolean() }), { maxLength: 30 });
    fc.assert(
      fc.property(
        sequence,
        fc.shuffledSubarray([...Array(layout.count).keys()], { minLength: layout.count }),
        fc.array(fc.integer({ min: 1, max: 99 })),
        (before, order, cuts) => {
          const segments = offer.segmentBytes.map((nbytes) => Buffer.alloc(nbytes, 0xee));
          const received = new Set<number>();
          const corrupt: number[] = [];
          const intake = new ChunkIntake(
            {
              layout,
              digest,
              missing: (chunk) => !received.has(chunk),
              write: (segment, bytes, offset) => void segments[segment]?.set(bytes, offset),
            },
            { onChunk: (chunk) => received.add(chunk), onCorrupt: (chunk) => corrupt.push(chunk), onHave: () => undefined },
            headDigest(digest),
          );
          const stream = Buffer.concat([
            ...before.map((each) => frame(each.index, each.spoilt)),
            ...order.map((index) => frame(index, false)),
          ]);
          const parser = new FrameParser(intake);
          for (let at = 0, turn = 0; at < stream.length; turn += 1) {
            const length = cuts.length === 0 ? stream.length : (cuts[turn % cuts.length] ?? 1);
            parser.feed(stream.subarray(at, at + length));
            at += length;
          }
          expect(received.size).to.equal(layout.count);
          expect(corrupt).to.deep.equal(before.filter(({ spoilt }) => spoilt).map(({ index }) => index));
          expect(segments.every((each, at) => each.equals(truth[at] ?? Buffer.alloc(0)))).to.equal(true);
        },
      ),
    );
  });
});
