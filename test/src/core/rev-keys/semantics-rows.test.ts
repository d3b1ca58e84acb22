/** Section R of the semantics table, row by row. The results are CPython 3.11's. */
import { reviseKeys, StateDict, Tensor } from "@rankcast/core";
import { compilePythonRule } from "@rankcast/core/internal";
import { expect } from "chai";

type Outcome = string | { readonly err: string };
type Case = readonly [pattern: string, replacement: string, key: string, result: Outcome];

/** The result, or the text of the error. */
function sub(pattern: string, replacement: string, key: string, onlyMatcher: boolean): Outcome {
  try {
    return compilePythonRule(pattern, replacement, { onlyMatcher }).rewrite(key, { left: 1_000_000 });
  } catch (error) {
    return { err: (error as Error).message };
  }
}

/** Every case in the form the rule chooses and in our matcher. */
function expectPython(...cases: readonly Case[]): void {
  for (const [pattern, replacement, key, result] of cases) {
    for (const onlyMatcher of [false, true]) {
      const what = `${JSON.stringify([pattern, replacement, key])}${onlyMatcher ? " in our matcher" : ""}`;
      expect(sub(pattern, replacement, key, onlyMatcher), what).to.deep.equal(result);
    }
  }
}

describe("rev-keys: section R of the semantics table", () => {
  it("R2: escapes and group references of a replacement, octal numbers among them", () => {
    expectPython(
      ["(a)(b)", "\\2\\1", "ab", "ba"],
      ["(a)", "\\g<1>0", "a", "a0"],
      ["(?P<n>a)", "<\\g<n>>", "a", "<a>"],
      ["a", "<\\g<0>>", "a", "<a>"],
      ["a", "\\0", "a", "\u0000"],
      ["a", "\\07", "a", "\u0007"],
      ["a", "\\100", "a", "@"],
      ["a", "\\n\\t\\a\\f\\v\\r\\b\\\\", "a", "\n\t\u0007\f\u000b\r\b\\"],
      ["(a)", "\\10", "a", { err: "invalid group reference 10 at position 1" }],
      ["(((((((((((a)))))))))))", "\\11", "a", "a"],
    );
  });

  it("R3: unknown letters after a backslash are refused, punctuation keeps it and is warned of", () => {
    expectPython(
      ["a", "\\d", "a", { err: "bad escape \\d at position 0" }],
      ["a", "x\\q", "a", { err: "bad escape \\q at position 1" }],
      ["^a", "backbone\\.", "a.b", "backbone\\..b"],
      ["a", "\\-", "a", "\\-"],
    );
    expect(compilePythonRule("^a", "backbone\\.").warnings).to.have.length(1);
    expect(compilePythonRule("^a", "backbone.").warnings).to.deep.equal([]);
  });

  it("R4: a group that took no part is empty", () => {
    expectPython(["(a)|b", "[\\1]", "ab", "[a][]"], ["(?P<n>a)?b", "[\\g<n>]", "b", "[]"]);
  });

  it("R5: named groups are Python's, numbered with the others", () => {
    expectPython(
      ["(?P<n>a)(?P=n)", "x", "aab", "xb"],
      ["(?<n>a)", "x", "a", { err: "unknown extension ?<n at position 1" }],
      ["(a)(?P<n>b)(c)", "\\3\\g<n>\\1\\2", "abc", "cbab"],
    );
    expect(() => compilePythonRule("(?<n>a)", "x"))
      .to.throw()
      .with.property("hint")
      .that.includes("(?P<name>");
  });

  it("R6: a digit after a back reference is text", () => {
    expectPython(["(a)(?:\\1)1", "x", "aa1", "x"], ["(a)\\1(?:0)", "x", "aa0", "x"], ["(a)\\1[0]", "x", "aa0aa", "xaa"]);
  });

  it("R7: a back reference to a group that took no part fails, and conditionals ask for it", () => {
    expectPython(
      ["(a)?\\1b", "x", "b", "b"],
      ["(a)?\\1b", "x", "aab", "x"],
      ["(a)?(?(1)b|c)", "x", "abc", "xx"],
      ["(a)?(?(1)b|c)", "x", "ab-c-b", "x-x-b"],
    );
  });

  it("R8: a group inside a repeat keeps its last value", () => {
    expectPython(
      ["(?:(a)|b)*", "[\\1]", "ab", "[a][]"],
      ["(?:(a)|b)+", "[\\1]", "abb-b", "[a]-[]"],
      ["(?:(a)|(b))+", "\\1\\2", "ba", "ab"],
    );
  });

  it("R9: anchors of the whole text; $ also before one final line feed", () => {
    expectPython(
      ["^a", "x", "aa", "xa"],
      ["a$", "x", "a\n", "x\n"],
      ["a$", "x", "a\n\n", "a\n\n"],
      ["a\\Z", "x", "a\n", "a\n"],
      ["a\\Z", "x", "ba", "bx"],
      ["\\Aa", "x", "aa", "xa"],
      ["^a", "x", "b\na", "b\na"],
      ["$", "x", "a\n", "ax\nx"],
    );
  });

  it("R10: lines end at line feeds only", () => {
    expectPython(
      ["(?m)^a", "x", "a\na\ra\u2028a", "x\nx\ra\u2028a"],
      ["(?m)a$", "x", "a\na\ra\u2029a", "x\na\ra\u2029x"],
      ["(?m)$", "x", "a\nb", "ax\nbx"],
    );
  });

  it("R11: the dot leaves out line feeds only", () => {
    expectPython([".", "x", "a\n\r\u2028\u2029", "x\nxxx"], ["(?s).", "x", "a\n\r\u2028", "xxxx"]);
  });

  it("R12: words, digits and boundaries are Unicode's unless (?a)", () => {
    expectPython(
      ["\\w", "x", "\u00e9\u0663\u4e2d_-", "xxxx-"],
      ["\\d", "x", "\u06635a", "xxa"],
      ["\\bfc\\b", "x", "fc.\u00e9fc.fc", "x.\u00e9fc.x"],
      ["(?a)\\w", "x", "\u00e9a\u0663", "\u00e9x\u0663"],
      ["(?a)\\d", "x", "\u06635", "\u0663x"],
      ["\\W", "x", "\u00e9.", "\u00e9x"],
      ["(?a)\\b", ".", "\u00e9a", "\u00e9.a."],
    );
  });

  it("R13: blanks are Python's", () => {
    expectPython(
      ["\\s", "x", "\u001c\u001d\u001e\u001f\u0085\u00a0\ufeff\u200b", "xxxxxx\ufeff\u200b"],
      ["(?a)\\s", "x", "\u001c\u0085\u00a0 \t\n\u000b\f\r", "\u001c\u0085\u00a0xxxxxx"],
      ["\\S", "x", "\u001c\ufeff", "\u001cx"],
    );
  });

  it("R14: an empty match is tried again for one that is not", () => {
    expectPython(
      ["^|a", "X", "ab", "XXb"],
      ["x*?", "-", "axb", "-a---b-"],
      ["x*", "-", "abxd", "-a-b--d-"],
      ["a|", "X", "aab", "XXXbX"],
      ["\\b|a", ":", "a b", "::: :b:"],
    );
  });

  it("R15: inline flags stand first or have a scope", () => {
    expectPython(
      ["(?i)AB", "x", "aBc", "xc"],
      ["(?s)a.b", "x", "a\nb", "x"],
      ["(?x) a b #c", "x", "ab", "x"],
      ["(?u)a", "x", "a", "x"],
      ["a(?i)b", "x", "ab", { err: "global flags not at the start of the expression at position 1" }],
      ["(?L)a", "x", "a", { err: "bad inline flags: cannot use 'L' flag with a str pattern at position 3" }],
      ["(?i:a)b", "x", "AbAB", "xAB"],
      ["(?i)a(?-i:b)", "x", "AbAB", "xAB"],
    );
  });

  it("R16: case folding is Python's", () => {
    expectPython(["(?i)i", "x", "iI\u0130\u0131", "xxxx"], ["(?i)s", "x", "sS\u017f", "xxx"], ["(?i)k", "x", "kK\u212a", "xxx"]);
  });

  it("R17: possessive repeats and atomic groups give nothing back", () => {
    expectPython(
      ["a++a", "x", "aaa", "aaa"],
      ["a++b", "x", "aab", "x"],
      ["(?>a|ab)c", "x", "abc", "abc"],
      ["(?>ab|a)c", "x", "abc", "x"],
      ["a?+a", "x", "aa", "x"],
      ["a{1,2}+a", "x", "aaa", "x"],
    );
  });

  it("R18: look-behind has one width", () => {
    expectPython(
      ["(?<=a+)b", "x", "ab", { err: "look-behind requires fixed-width pattern" }],
      ["(?<!a|bc)d", "x", "d", { err: "look-behind requires fixed-width pattern" }],
      ["(?<=ab)c", "x", "abc", "abx"],
      ["(?<!a)b", "x", "abb", "abx"],
    );
  });

  it("R19: braces and brackets that are text, and ranges that are none", () => {
    expectPython(
      ["^a{,2}", "x", "aaa", "xa"],
      ["a{", "x", "a{", "x"],
      ["a}", "x", "a}", "x"],
      ["a]", "x", "a]", "x"],
      ["a{2", "x", "a{2", "x"],
      ["[]a]", "x", "]ab", "xxb"],
      ["[^]a]", "x", "]ab", "]ax"],
      ["[[]", "x", "[a", "xa"],
      ["[a&&b]", "x", "a&b-", "xxx-"],
      ["[a-\\d]", "x", "a", { err: "bad character range a-\\d at position 1" }],
    );
  });

  it("R20: escapes of a pattern", () => {
    expectPython(
      ["\\h", "x", "", { err: "bad escape \\h at position 0" }],
      ["\\e", "x", "", { err: "bad escape \\e at position 0" }],
      ["\\p", "x", "", { err: "bad escape \\p at position 0" }],
      ["\\c", "x", "", { err: "bad escape \\c at position 0" }],
      ["\\k", "x", "", { err: "bad escape \\k at position 0" }],
      ["\\z", "x", "", { err: "bad escape \\z at position 0" }],
      ["\\a\\0", "x", "\u0007\u0000", "x"],
      ["\\101", "x", "A", "x"],
      ["\\x41\\u0041\\U00000041", "x", "AAA", "x"],
      ["\\N{FULL STOP}", "x", "a.b", "axb"],
      ["[\\b]", "x", "\bb", "xb"],
      ["\\_\\-\\/", "x", "_-/", "x"],
    );
  });

  it("R21: verbose patterns and comments", () => {
    expectPython(["(?x) a [ ] b  # comment\n c", "x", "a bc", "x"], ["a(?#note)b", "x", "ab", "x"], ["(?x)a\\ b", "x", "a b", "x"]);
  });

  it("R22: characters are code points", () => {
    expectPython(
      ["^.$", "x", "\ud83d\ude00", "x"],
      [".", "x", "a\ud83d\ude00b", "xxx"],
      ["[\ud83d\ude00-\ud83d\ude01]", "x", "\ud83d\ude00\ud83d\ude02", "x\ud83d\ude02"],
    );
  });

  it("R23: what repeats or refers to nothing is refused, with its place", () => {
    expectPython(
      ["a**", "x", "", { err: "multiple repeat at position 2" }],
      ["*a", "x", "", { err: "nothing to repeat at position 0" }],
      ["^*", "x", "", { err: "nothing to repeat at position 1" }],
      ["(a\\1)", "x", "", { err: "cannot refer to an open group at position 2" }],
      ["(?P<n>a)(?P<n>b)", "x", "", { err: "redefinition of group name 'n' as group 2; was group 1 at position 12" }],
      ["a{2}{3}", "x", "", { err: "multiple repeat at position 4" }],
    );
  });

  it("R24: \\B does not match the empty string", () => {
    expectPython(["\\B", "x", "", ""], ["\\B", "x", "ab", "axb"], ["\\B", "x", ".", "x.x"]);
  });

  it("R25: all matches from left to right, none overlapping; a RegExp means JavaScript's", () => {
    expectPython(["a", "x", "aaab", "xxxb"], ["aa", "x", "aaaaa", "xxa"], ["aba", "x", "ababa", "xba"]);
    const stateDict = new StateDict([["a.a.b", Tensor.from(Float32Array.of(1), [1])]]);
    const keys = (rule: readonly [RegExp, string | ((match: string) => string)]) => [...reviseKeys(stateDict, [rule]).stateDict.keys()];
    expect(keys([/(a)\./g, "<$1>"])).to.deep.equal(["<a><a>b"]);
    expect(keys([/a/, (match) => match.toUpperCase()])).to.deep.equal(["A.a.b"]);
  });
});
