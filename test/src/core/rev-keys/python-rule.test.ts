/**
 * Rules against CPython 3.11: test/fixtures/python-re/corpus.json (hand-picked), oracle.json and oracle-names.json (random, made by
 * record_oracle.py and record_names.py).
 */
import { readFileSync } from "node:fs";
import { compilePythonRule } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";

type Row = readonly [pattern: string, replacement: string, key: string, result: string | { readonly err: string }];
const rows = (name: string): Row[] =>
  JSON.parse(readFileSync(new URL(`../../../fixtures/python-re/${name}.json`, import.meta.url), "utf8"));
const STEPS = 4_000_000;

/** The result, or the text of the error. */
function sub(pattern: string, replacement: string, key: string, onlyMatcher = false, eagerMemo = false): string | { err: string } {
  try {
    return compilePythonRule(pattern, replacement, { onlyMatcher, eagerMemo }).rewrite(key, { left: STEPS });
  } catch (error) {
    return { err: (error as Error).message };
  }
}

/**
 * CPython 3.11 to 3.13 keep a stale capture when a lazy repeat fails, so a conditional inside the very group it asks about finds that group
 * closed. Ours undoes captures whenever it backtracks.
 */
const STALE_CAPTURES = new Set(["((\\Z|(?(1)|b\\w){0,1}?|(?:a)))_"]);

describe("rev-keys/python-rule", () => {
  for (const [pattern, replacement, key, result] of rows("corpus")) {
    it(`${JSON.stringify(pattern)} => ${JSON.stringify(replacement)} on ${JSON.stringify(key)}`, () => {
      expect(sub(pattern, replacement, key)).to.deep.equal(result);
      expect(sub(pattern, replacement, key, true), "in our matcher").to.deep.equal(result);
      expect(sub(pattern, replacement, key, true, true), "in our matcher, failures remembered").to.deep.equal(result);
    });
  }

  // CPython 3.11's answers, for what the corpus and the random rows leave out.
  const more: Row[] = [
    ["(?:(?=(a))ab|a)c", "[\\1]", "ac", "[]"],
    ["(?:(?>(a))b|a)c", "[\\1]", "ac", "[]"],
    ["(?i)i", "X", "\u0130\u0131Ii", "XXXX"],
    ["(?i)\u0130", "X", "iI\u0130\u0131", "XXXX"],
    ["\\B", "X", "", ""],
    ["a$", "X", "a\n", "X\n"],
    ["a\\Z", "X", "a\n", "a\n"],
    ["[ab]$", "X", "a\n", "X\n"],
    ["[ab]$", "X", "a\n\n", "a\n\n"],
    ["(a)?(?!(?(1)bc|bd))b", "X", "abd", "Xd"],
    ["(_?a?| )+", "[\\1]", "a1_1.a.1.", "[][]1[][]1[].[][].[]1[].[]"],
    ["(?:bb{0}){2}(((aa){,2}(|bb|))|a\\Z)+", "<\\1>[\\g<2>]", "abbaaa__\n", "a<>[]a__\n"],
    ["(?m)\\B(\\.{,2}((?:bb?){0,1}b{,2}|()))+", "[\\g<1>]", "..\u00e9", "[]\u00e9"],
  ];
  for (const [pattern, replacement, key, result] of more) {
    it(`${JSON.stringify(pattern)} on ${JSON.stringify(key)}`, () => {
      for (const [onlyMatcher, eagerMemo] of [
        [false, false],
        [true, false],
        [true, true],
      ] as const) {
        expect(sub(pattern, replacement, key, onlyMatcher, eagerMemo)).to.deep.equal(result);
      }
    });
  }

  it("agrees with CPython on 2000 random rules and keys, errors included", () => {
    const wrong = rows("oracle").filter(([pattern, replacement, key, result]) => {
      if (STALE_CAPTURES.has(pattern)) return false;
      const found = [sub(pattern, replacement, key), sub(pattern, replacement, key, true), sub(pattern, replacement, key, true, true)];
      return found.some((each) => JSON.stringify(each) !== JSON.stringify(result));
    });
    expect(wrong).to.deep.equal([]);
  });

  it("agrees with CPython on 1500 random rules as people write them for names", () => {
    const all = rows("oracle-names");
    expect(all.length).to.equal(1500);
    const wrong = all.filter(([pattern, replacement, key, result]) => {
      const found = [sub(pattern, replacement, key), sub(pattern, replacement, key, true), sub(pattern, replacement, key, true, true)];
      return found.some((each) => JSON.stringify(each) !== JSON.stringify(result));
    });
    expect(wrong).to.deep.equal([]);
    const forms = all.filter(([, , , result]) => typeof result === "string").map((row) => compilePythonRule(row[0], row[1]).form);
    expect(forms.filter((form) => form === "v8").length).to.be.above(700);
    expect(forms.filter((form) => form === "matcher").length).to.be.above(200);
  });

  it("the oracle has enough of everything", () => {
    const all = rows("oracle");
    expect(all.length).to.equal(2000);
    const forms = new Map<string, number>();
    for (const [pattern, replacement, , result] of all) {
      if (typeof result === "object") continue;
      const { form } = compilePythonRule(pattern, replacement);
      forms.set(form, (forms.get(form) ?? 0) + 1);
    }
    expect(forms.get("literal")).to.be.above(100);
    expect(forms.get("v8")).to.be.above(200);
    expect(forms.get("matcher")).to.be.above(500);
    expect(all.filter(([, , key, result]) => typeof result === "string" && result !== key).length).to.be.above(500);
  });

  it("runs each kind of rule in its fastest form", () => {
    const form = (pattern: string, replacement = "") => compilePythonRule(pattern, replacement).form;
    for (const pattern of ["^module\\.", "^", "conv", "\\.weight$", "^a$", "a\\Z", "\\Aa", "(?m)a"])
      expect(form(pattern), pattern).to.equal("literal");
    for (const pattern of [
      "^model.",
      "(\\d+)\\.",
      "^(?:module\\.|_orig_mod\\.)+",
      "(?<=\\.)a(?=b)",
      "[^.]+\\.w",
      "\\bfc\\b",
      "(?m)^a",
      "(?a)\\w",
      "a{2,3}?b",
      "(?i)a[k-s]",
      "(?>a|ab)b",
      "(?:ab)++\\d++c",
      "(\\w)\\1b",
      "^(?:module\\.)?",
      "(?:_x)?$",
      "$",
      "^(?:\\w+\\.)*attn",
      "(?:\\.[a-z_]+)+\\.w",
    ])
      expect(form(pattern), pattern).to.equal("v8");
    const others = ["a*", "(a)?\\1b", "(a+)+b", "(?i)\u00e9", "(?i)(a)\\1", "(a)?(?(1)b|c)", "a{,100}b", "[\\W1]b", "(?:\\w+a)+b"];
    for (const pattern of others) expect(form(pattern), pattern).to.equal("matcher");
    // Groups inside repeats matter only when someone asks for them, and when iterations may leave them out.
    expect([form("(?:(a)|b)+c"), form("(?:(a)|b)+c", "\\1")]).to.deep.equal(["v8", "matcher"]);
    expect(form("^(?:(\\w+)\\.)+c", "\\1")).to.equal("v8");
  });

  it("R1: nothing in a replacement is special to JavaScript, whatever runs the rule", () => {
    for (const pattern of ["x", "[x]", "(?i)x"]) expect(sub(pattern, "$1$&$$$`$'", "axb")).to.equal("a$1$&$$$`$'b");
  });

  it("R5: names the Python way to write a named group", () => {
    try {
      compilePythonRule("(?<n>a)", "");
      expect.fail();
    } catch (error) {
      expect((error as { hint?: string }).hint).to.contain("(?P<name>");
    }
  });

  it("R12, R13: the classes are Unicode's and blanks are Python's", () => {
    for (const onlyMatcher of [false, true]) {
      expect(sub("[\\w]", "W", "\u00e9\u0663\u4e2d_-", onlyMatcher)).to.equal("WWWW-");
      expect(sub("[\\s]", "S", "\u001c\u0085\u00a0\ufeff\u200b", onlyMatcher)).to.equal("SSS\ufeff\u200b");
      expect(sub("(?a)[\\s]", "S", "\u001c\u0085 \t", onlyMatcher)).to.equal("\u001c\u0085SS");
      expect(sub("[^\\s.]", "x", "a.\u001c", onlyMatcher)).to.equal("x.\u001c");
      expect(sub("[\\S.]", "x", "a.\u001c\ufeff", onlyMatcher)).to.equal("xx\u001cx");
      expect(sub("[\\D.]", "x", "a.1\u0663", onlyMatcher)).to.equal("xx1\u0663");
    }
  });

  it("R22: counts characters, not their halves", () => {
    for (const onlyMatcher of [false, true]) {
      expect(sub(".", "X", "a\u{1f600}\ud800b", onlyMatcher)).to.equal("XXXX");
      expect(sub("(?<=\u{1f600}).", "X", "\u{1f600}a", onlyMatcher)).to.equal("\u{1f600}X");
    }
    expect(sub("\ud83d", "X", "\u{1f600}\ud83d")).to.equal("\u{1f600}X");
  });

  it("R16: in JavaScript's form too, letters equal what they equal in Python, over all of Unicode", () => {
    for (const [pattern, ascii] of [
      ["[k-s]", false],
      ["[I_]", false],
      ["(?a:[a-z])", true],
    ] as const) {
      const { form, rewrite } = compilePythonRule(`(?i)${pattern}!`, "");
      expect(form).to.equal("v8");
      const node = compilePythonRule(`(?i)${pattern}!`, "", { onlyMatcher: true });
      const differs: number[] = [];
      for (let code = 0; code < 0x3000; code += 1) {
        const key = `${String.fromCodePoint(code)}!`;
        if (rewrite(key, { left: STEPS }) !== node.rewrite(key, { left: STEPS })) differs.push(code);
      }
      expect(differs, `${pattern} ${ascii}`).to.deep.equal([]);
    }
  });

  it("gives V8 no long keys beyond Latin-1, whose characters it looks up slowly", () => {
    const { v8LengthMax, rewrite } = compilePythonRule("\\D+\\b[op]", "<>");
    expect(v8LengthMax).to.equal(2000);
    const key = "bn.\u0130d.".repeat(250);
    const budget = { left: 1e9 };
    expect(rewrite(key, budget)).to.equal(key);
    expect(budget.left, "our matcher ran").to.be.below(1e9);
  });

  it("warns of a backslash that would land in the keys", () => {
    expect(compilePythonRule("^model\\.", "backbone\\.").warnings).to.have.length(1);
    expect(compilePythonRule("^(a)\\.", "\\\\\\1\\n").warnings).to.deep.equal([]);
  });

  it("knows the names of ASCII characters only, and says so", () => {
    expect(sub("\\N{full stop}\\N{DIGIT SEVEN}[\\N{LATIN CAPITAL LETTER Q}-Z]", "x", ".7R")).to.equal("x");
    expect(sub("\\N{GREEK SMALL LETTER PI}", "x", "")).to.deep.equal({
      err: "undefined character name 'GREEK SMALL LETTER PI' at position 0",
    });
  });

  it("refuses nesting that would exhaust the stack", () => {
    expect(sub("(".repeat(5000), "", "")).to.deep.equal({ err: "groups nested more than 100 deep at position 101" });
    expect(sub(`${"(?:a".repeat(100)}${")".repeat(100)}`, "x", "a".repeat(100))).to.equal("x");
  });

  it("the three forms say the same, for literal rules on arbitrary keys", () => {
    const text = fc.string({ unit: fc.constantFrom("a", "b", ".", "\n", "\u{1f600}", "\ud83d"), maxLength: 6 });
    fc.assert(
      fc.property(
        fc.constantFrom("", "^", "\\A"),
        fc.string({ unit: fc.constantFrom("a", "b", "\\."), maxLength: 3 }),
        fc.constantFrom("", "$", "\\Z"),
        text,
        (begin, middle, end, key) => {
          const pattern = begin + middle + end;
          expect(sub(pattern, "<\\g<0>>", key)).to.equal(sub(pattern, "<\\g<0>>", key, true));
        },
      ),
      { numRuns: 2000 },
    );
  });
});
