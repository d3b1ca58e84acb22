/** What a replica's weights are made of, against a model that remembers for each name who gave it last. */
import { layOver, type WeightLayer } from "@rankcast/worker/internal";
import { expect } from "chai";
import fc from "fast-check";

const NAMES = ["a", "b", "c", "d"];

describe("worker: the layers of a replica's weights", () => {
  it("are those that gave a name last, in order, and the top one; names that nobody gave keep none", () => {
    fc.assert(
      fc.property(fc.array(fc.subarray(NAMES), { maxLength: 12 }), (given) => {
        let layers: readonly WeightLayer<number>[] = [];
        const givers = new Map<string, number>();
        given.forEach((names, of) => {
          layers = layOver(layers, { of, notGiven: new Set(NAMES.filter((name) => !names.includes(name))) });
          for (const name of names) givers.set(name, of);
        });
        const seen = new Set(givers.values());
        if (given.length > 0) seen.add(given.length - 1);
        expect(layers.map(({ of }) => of)).to.deep.equal([...seen].sort((one, other) => one - other));
      }),
      { numRuns: 1000 },
    );
  });
});
