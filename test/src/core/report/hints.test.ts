/** Next steps: the prefix edit that would match most keys, and near misses (semantics H8). */
import { execFileSync } from "node:child_process";
import { reviseKeys, StateDict, Tensor } from "@rankcast/core";
import { findNearMisses, revKeyFlag, suggestPrefixEdit } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";

function keys(prefix: string, names: readonly string[], shape: readonly number[] = [2]): Map<string, readonly number[]> {
  return new Map(names.map((name) => [prefix + name, shape]));
}

const EMPTY = Tensor.from(new Float32Array(0), [0]);
const NAMES = Array.from({ length: 40 }, (_, layer) => ["weight", "bias"].map((leaf) => `layers.${layer}.lin.${leaf}`)).flat();

describe("suggestPrefixEdit", () => {
  for (const prefix of ["module.", "model.", "_orig_mod.", "backbone.", "state_dict.", "a.b.c."]) {
    it(`H8: proposes to strip ${prefix}`, () => {
      const edit = suggestPrefixEdit(keys(prefix, NAMES), keys("", NAMES));
      expect(edit).to.deep.equal({ pattern: `^${prefix.replace(/\./g, "\\.")}`, replacement: "", gain: 80 });
    });

    it(`H8: proposes to add ${prefix}`, () => {
      expect(suggestPrefixEdit(keys("", NAMES), keys(prefix, NAMES))).to.deep.equal({ pattern: "^", replacement: prefix, gain: 80 });
    });
  }

  it("B10: a second module. is found", () => {
    expect(suggestPrefixEdit(keys("module.", NAMES), keys("", NAMES))?.pattern).to.equal("^module\\.");
  });

  it("H8: proposes to exchange prefixes", () => {
    const edit = suggestPrefixEdit(keys("encoder.", NAMES), keys("backbone.", NAMES));
    expect(edit).to.deep.equal({ pattern: "^encoder\\.", replacement: "backbone.", gain: 80 });
  });

  it("H8: looks at prefixes of up to six components", () => {
    expect(suggestPrefixEdit(keys("a.b.c.d.e.f.", NAMES), keys("", NAMES))?.gain).to.equal(80);
    expect(suggestPrefixEdit(keys("a.b.c.d.e.f.g.", NAMES), keys("", NAMES))).to.equal(undefined);
  });

  it("H8: counts what an edit would lose", () => {
    const model = new Map([...keys("", ["head.weight", "head.bias"]), ...keys("net.", ["head.weight"])]);
    const checkpoint = new Map([...keys("", ["head.weight"]), ...keys("x.", ["none"])]);
    expect(suggestPrefixEdit(checkpoint, model)).to.equal(undefined);
  });

  it("H8: does not propose what would give two keys one name, but a narrower edit that does not", () => {
    const checkpoint = new Map([...keys("net.", NAMES), ...keys("", ["head.weight"]), ...keys("net.", ["head.weight"])]);
    const model = new Map([...keys("", NAMES), ...keys("", ["head.weight"])]);
    expect(suggestPrefixEdit(checkpoint, model)).to.deep.equal({ pattern: "^net\\.layers\\.", replacement: "layers.", gain: 80 });
  });

  it("H8: does not propose keys whose shapes differ", () => {
    expect(suggestPrefixEdit(keys("module.", NAMES, [3]), keys("", NAMES))).to.equal(undefined);
  });

  it("H8: the proposed gain is what the edit really gains", () => {
    const name = fc.array(fc.constantFrom("a", "b", "module", "0", "1"), { minLength: 1, maxLength: 4 }).map((parts) => parts.join("."));
    const side = fc.array(name, { maxLength: 30 }).map((names) => keys("", names));
    fc.assert(
      fc.property(side, side, (checkpoint, model) => {
        const edit = suggestPrefixEdit(checkpoint, model);
        if (!edit) return;
        const renamed = [...checkpoint.keys()].map((key) => key.replace(new RegExp(edit.pattern), edit.replacement));
        expect(new Set(renamed).size, "collision").to.equal(checkpoint.size);
        const count = (names: readonly string[]): number => names.filter((each) => model.has(each)).length;
        expect(count(renamed) - count([...checkpoint.keys()])).to.equal(edit.gain);
      }),
      { numRuns: 300 },
    );
  });
});

describe("the flag to paste", () => {
  it("H8: means the edit, whatever is in the prefix", () => {
    const text = fc.string({ unit: fc.constantFrom(..."ab.'\"\\$`!=> *?[](){}|^+-#&;~\u00e9"), minLength: 1, maxLength: 8 });
    const flags: string[] = [];
    const edits: (readonly [checkpoint: string, model: string])[] = [];
    for (const [from, to] of fc.sample(fc.tuple(text, text), 200)) {
      const edit = suggestPrefixEdit(keys(`${from}.`, NAMES), keys(`${to}.`, NAMES));
      if (!edit) continue;
      flags.push(revKeyFlag(edit));
      edits.push([`${from}.`, `${to}.`]);
    }
    expect(flags).to.have.length.greaterThan(100);
    const script = flags.map((flag) => `set -- ${flag}; printf '%s\\0%s\\0' "$1" "$2"`).join("\n");
    const words = execFileSync("sh", ["-c", script], { encoding: "utf8" }).split("\0");
    edits.forEach(([from, to], at) => {
      const [flag, rule = ""] = words.slice(2 * at);
      const arrow = rule.indexOf("=>");
      const { stateDict } = reviseKeys(new StateDict(NAMES.map((name) => [from + name, EMPTY])), [
        [rule.slice(0, arrow), rule.slice(arrow + 2)],
      ]);
      expect(flag).to.equal("--rev-key");
      expect([...stateDict.keys()], flags[at]).to.deep.equal(NAMES.map((name) => to + name));
    });
  });
});

describe("findNearMisses", () => {
  it("H8: pairs misspelled names, each once", () => {
    const pairs = findNearMisses(["conv.weight", "head.bias"], ["conv.weigth", "head.bais", "other.thing"]);
    expect(pairs).to.deep.equal([
      { missing: "conv.weight", unexpected: "conv.weigth" },
      { missing: "head.bias", unexpected: "head.bais" },
    ]);
  });

  it("H8: another layer is no misspelling", () => {
    expect(findNearMisses(["layers.3.weight"], ["layers.4.weight"])).to.deep.equal([]);
  });

  it("H8: a name that is a little longer is a pair, one that is much longer is not", () => {
    expect(findNearMisses(["encoder.weight"], ["encoder.weights"])).to.have.length(1);
    expect(findNearMisses(["encoder.weight"], ["encoder.weights_all"])).to.deep.equal([]);
    expect(findNearMisses(["x".repeat(300)], [`${"x".repeat(299)}y`])).to.deep.equal([]);
  });

  it("H8: names that have little in common are no pair", () => {
    expect(findNearMisses(["a.b.c"], ["x.y.z"])).to.deep.equal([]);
  });
});
