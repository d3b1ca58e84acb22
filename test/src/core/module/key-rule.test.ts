/** Globs and expressions over keys. */
import { compileRule, matchesGlob } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";

describe("key rules", () => {
  it("a glob covers the whole key; * crosses dots, ? is one character, the rest is literal", () => {
    const hits: readonly (readonly [string, string])[] = [
      ["*", ""],
      ["**", "a.b"],
      ["a.*.w", "a.b.c.w"],
      ["*.w", "a.w.w"],
      ["h?ad.*", "head.x"],
      ["[a]+(b)", "[a]+(b)"],
      ["*a*b*", "xxaxxbxx"],
      ["", ""],
    ];
    const misses: readonly (readonly [string, string])[] = [
      ["a", "ab"],
      ["a?", "a"],
      ["a.*", "a"],
      ["*.w", "a.wx"],
      ["", "a"],
      ["[ab]", "a"],
      ["a*b", "ac"],
      ["?", ""],
    ];
    for (const [glob, key] of hits) expect(matchesGlob(glob, key), `${glob} on ${key}`).to.equal(true);
    for (const [glob, key] of misses) expect(matchesGlob(glob, key), `${glob} on ${key}`).to.equal(false);
  });

  it("agrees with a regular expression of the same meaning", () => {
    const glob = fc.array(fc.constantFrom("*", "?", "a", "b", "."), { maxLength: 6 }).map((parts) => parts.join(""));
    const key = fc.array(fc.constantFrom("a", "b", "."), { maxLength: 8 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(glob, key, (pattern, text) => {
        const source = pattern.replace(/\./g, "\\.").replace(/\*/g, "[^]*").replace(/\?/g, "[^]");
        expect(matchesGlob(pattern, text)).to.equal(new RegExp(`^${source}$`).test(text));
      }),
      { numRuns: 500 },
    );
  });

  it("does not run away on many stars", () => {
    expect(matchesGlob("*a".repeat(50), "a".repeat(2000).concat("b"))).to.equal(false);
  });

  it("an expression with g or y matches every time", () => {
    const rule = compileRule(/ema/gy);
    expect([rule.matches("ema.a"), rule.matches("ema.b"), rule.matches("x.ema")]).to.deep.equal([true, true, true]);
    expect(rule.text).to.equal("/ema/gy");
  });
});
