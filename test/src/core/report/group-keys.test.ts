/** Folding keys: nothing may be said that is not so (semantics H6). */
import { groupKeys } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";

/** The keys that a folded name stands for. */
function expand(name: string): string[] {
  const parts = name.split(/(?<=^|\.)(\{[\d,-]+\})(?=\.|$)/);
  return parts.reduce<string[]>(
    (names, part, at) => names.flatMap((head) => (at % 2 === 0 ? [head + part] : indices(part).map((index) => head + index))),
    [""],
  );
}

function indices(set: string): number[] {
  return set
    .slice(1, -1)
    .split(",")
    .flatMap((run) => {
      const [first = 0, last = first] = run.split("-").map(Number);
      return Array.from({ length: last - first + 1 }, (_, at) => first + at);
    });
}

describe("groupKeys", () => {
  it("H6: folds one index to ranges", () => {
    const keys = [0, 1, 2, 3, 5, 6, 13].map((index) => `layers.${index}.attn.weight`);
    expect(groupKeys(keys)).to.deep.equal([{ name: "layers.{0-3,5,6,13}.attn.weight", count: 7 }]);
  });

  it("H6: says two keys when there are two, where transformers implies four", () => {
    expect(groupKeys(["a.0.b.1", "a.5.b.7"]).map(({ name }) => name)).to.deep.equal(["a.0.b.1", "a.5.b.7"]);
  });

  it("H6: folds full products of two indices", () => {
    const keys = [0, 1].flatMap((a) => [3, 4, 5].map((b) => `m.${a}.n.${b}`));
    expect(groupKeys(keys)).to.deep.equal([{ name: "m.{0,1}.n.{3-5}", count: 6 }]);
    expect(groupKeys([...keys, "m.2.n.3"]).map(({ name }) => name)).to.deep.equal(["m.{0,1}.n.{3-5}", "m.2.n.3"]);
  });

  it("H6: leaves numbers alone that are no indices", () => {
    expect(groupKeys(["a.007", "a.08", "conv1.w", "conv2.w"]).map(({ name }) => name)).to.deep.equal([
      "a.007",
      "a.08",
      "conv1.w",
      "conv2.w",
    ]);
  });

  it("H6: stands for exactly the keys it was given", () => {
    const part = fc.oneof(fc.integer({ min: 0, max: 12 }).map(String), fc.constantFrom("w", "b", "00", "x1"));
    const key = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("."));
    fc.assert(
      fc.property(fc.array(key, { maxLength: 60 }), (keys) => {
        const groups = groupKeys(keys);
        const expanded = groups.flatMap(({ name, count }) => {
          const names = expand(name);
          expect(names).to.have.length(count);
          return names;
        });
        expect(expanded.sort()).to.deep.equal([...new Set(keys)].sort());
      }),
      { numRuns: 300 },
    );
  });
});
