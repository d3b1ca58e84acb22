import { parseContentRange, RangeSet } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";

describe("RangeSet", () => {
  it("behaves as a set of bytes", () => {
    const range = fc.tuple(fc.nat(60), fc.nat(20)).map(([begin, length]) => ({ begin, end: begin + length }));
    fc.assert(
      fc.property(fc.array(range, { maxLength: 20 }), fc.integer({ min: 1, max: 90 }), (ranges, size) => {
        const set = new RangeSet();
        const bytes = new Set<number>();
        for (const each of ranges) {
          set.add(each);
          for (let at = each.begin; at < each.end; at += 1) bytes.add(at);
        }
        expect(set.sizeBytes).to.equal(bytes.size);
        let prefix = 0;
        while (bytes.has(prefix)) prefix += 1;
        expect(set.prefixBytes).to.equal(prefix);
        const missing = set.missing(size).flatMap((gap) => Array.from({ length: gap.end - gap.begin }, (_, index) => gap.begin + index));
        expect(missing).to.deep.equal(Array.from({ length: size }, (_, index) => index).filter((at) => !bytes.has(at)));
        for (const [index, each] of set.ranges.entries()) expect(each.begin).to.be.greaterThan(set.ranges[index - 1]?.end ?? -1);
      }),
    );
  });
});

describe("parseContentRange", () => {
  it("takes well-formed ranges and nothing else", () => {
    expect(parseContentRange("bytes 0-9/10")).to.deep.equal({ range: { begin: 0, end: 10 }, sizeBytes: 10 });
    expect(parseContentRange("bytes 5-9/*")).to.deep.equal({ range: { begin: 5, end: 10 }, sizeBytes: null });
    expect(parseContentRange("bytes */10")).to.deep.equal({ range: null, sizeBytes: 10 });
    for (const bad of [
      null,
      "",
      "bytes 0-9",
      "bytes 9-0/10",
      "bytes 0-10/10",
      "bytes */*",
      "bytes=0-9/10",
      "bytes 0-9/10x",
      "bytes 1e1-9/10",
      "bytes 0-9007199254740992/*",
    ]) {
      expect(parseContentRange(bad), String(bad)).to.equal(null);
    }
  });
});
