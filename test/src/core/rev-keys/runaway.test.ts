/** P16: no pattern can hang a node. Nothing here looks at a clock but the code under test. */

import { DEFAULT_LIMITS } from "@rankcast/core";
import { compilePythonRule, compileRevKeys, reviseNames, runBounded, TimeUp } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";

const EVIL = [
  "(a+)+$",
  "(a*)*$",
  "(a|a)*$",
  "(a|aa)+$",
  "(.*)*x",
  "(.*a){12}x",
  "^(([a-z])+.)+[A-Z]([a-z])+$",
  "(a?){30}a{30}",
  "(?:a?){25}a{25}",
  `${"a?".repeat(20)}${"a".repeat(20)}`,
  "(x+x+)+y",
  "(.*)\\.(.*)\\.x$",
  "(.*)(.*)(.*)(.*)(.*)x",
  "(\\w+\\.)+\\d$",
  "^(\\w+\\s?)*$",
  "(a+)+\\1b",
  "(?=(a+)+$)b",
  "(?!(a+)+$)b",
  "(a*)*\\1$",
  "((a{1,2}){1,2}){1,20}b",
  "(?:(?:a+)+)+b",
  "(a|b|ab)*c",
  "(?i)(A+)+$",
  "(?>a+)+b",
  "(?:a++)+b",
  ".*.*.*.*x",
  "(?:.|a)*b",
  "\\b(\\w+)+\\b!",
  "(?<=(?:aa))(a+)+b",
  "(c)?(?(1)a|b)*",
  "(()|a)*\\2b",
  "(?:a|(?=a)a|(?:a))*$b",
  "([a-z]+)*\\d",
  "(a+){10}b",
  "(a+){2,}?b",
  "^(a+)*?$b",
  "(?:(a)|(b)|(?:c))*d",
  "(?:a{0,5}){0,50}b",
  "(?:(?:a|a)(?:a|a)(?:a|a)(?:a|a))*b",
  "(?m)^(a+)+$",
];
const KEYS = [`${"a".repeat(40)}!`, `${"a".repeat(200)}b!`, "ab".repeat(60), `${"a.".repeat(100)}y`, "x".repeat(990)];

describe("rev-keys: patterns that run away", () => {
  it("200 evil pairs of pattern and key each finish, or stop at the limit of steps", () => {
    expect(EVIL.length * KEYS.length).to.equal(200);
    const refused = EVIL.flatMap((pattern) =>
      KEYS.filter((key) => {
        const rule = compilePythonRule(pattern, "_");
        const budget = { left: DEFAULT_LIMITS.revKeySteps };
        try {
          rule.rewrite(key, budget);
          return false;
        } catch {
          expect(budget.left).to.be.below(0);
          return true;
        }
      }).map((key) => `${pattern} ${key.length}`),
    );
    // What depends on captures or counts cannot be remembered as failed. Everything else is linear.
    expect(refused).to.deep.equal(["(a?){30}a{30} 41", "(a*)*\\1$ 41", "(a*)*\\1$ 202"]);
  });

  it("V8 gets a pattern only with keys short enough for its worst case", () => {
    for (const pattern of EVIL) {
      const { form, v8LengthMax } = compilePythonRule(pattern, "_");
      if (form === "v8") expect(v8LengthMax, pattern).to.be.below(2001);
    }
    expect(compilePythonRule("(.*)\\.(.*)\\.x$", "_").v8LengthMax).to.equal(158);
    // Longer keys go to the matcher, with the same result.
    expect(compilePythonRule("(.*)\\.(.*)\\.x$", "\\2").rewrite(`${"a.".repeat(500)}b.x`, { left: 1e7 })).to.equal("b");
  });

  it("the matcher gives the right answer where backtracking alone would need ages", () => {
    const key = "a".repeat(300);
    const rewrite = (pattern: string, text: string) => compilePythonRule(pattern, "<\\g<0>>").rewrite(text, { left: 1_000_000 });
    expect(rewrite("^(a+)+$", `${key}!`)).to.equal(`${key}!`);
    expect(rewrite("^(a+)+$", key)).to.equal(`<${key}>`);
    expect(rewrite("^(a*)*$", `${key}!`)).to.equal(`${key}!`);
    expect(rewrite("^(a|a|aa)+!", `${key}!`)).to.equal(`<${key}!>`);
    expect(rewrite("^(?:a|b|ab)*c", `${"ab".repeat(100)}cc`)).to.equal(`<${"ab".repeat(100)}c>c`);
  });

  it("says rule, pattern, key and limit when a key takes too many steps", async () => {
    const compiled = compileRevKeys([
      ["^x", ""],
      ["(a?){30}a{30}", ""],
    ]);
    const error = await expectError("RANKCAST_REV_KEY_RUNAWAY", () => reviseNames(["fine", "a".repeat(40)], [], compiled));
    expect(error.class).to.equal("limit");
    expect(error.details).to.include({ rule: 1, limit: "revKeySteps", key: "a".repeat(40) });
    expect(error.message).to.contain('rule 2 of revKeys, pattern "(a?){30}a{30}"');
  });

  it("stops a RegExp of the user's inside a single match", async () => {
    const compiled = compileRevKeys([[/^(a+)+$/, ""]], { ...DEFAULT_LIMITS, revKeyMs: 20 });
    const error = await expectError("RANKCAST_REV_KEY_RUNAWAY", () => reviseNames(["b", `${"a".repeat(60)}!`, "c"], [], compiled));
    expect(error.details).to.include({ limit: "revKeyMs", key: `${"a".repeat(60)}!` });
  });

  it("keeps one deadline for all keys and rules", async () => {
    for (const rule of [
      ["^a", "b"],
      ["[a]b", "c"],
      ["(?i)q", "r"],
      [/a/, "b"],
    ] as const) {
      let now = 0;
      const compiled = compileRevKeys([rule as readonly [string, string]]);
      const clock = () => {
        now += 400;
        return now;
      };
      const names = Array.from({ length: 300_000 }, (_, at) => `k${at}`);
      const error = await expectError("RANKCAST_REV_KEY_RUNAWAY", () => reviseNames(names, [], compiled, { now: clock }));
      expect(error.details).to.include({ limit: "revKeysMs", allowed: 10_000 });
    }
  });

  it("bounds the length of names, which rules can double", async () => {
    const doubling = Array.from({ length: 40 }, () => [".", "\\g<0>\\g<0>"] as const);
    const error = await expectError("RANKCAST_LIMIT", () => reviseNames(["ab"], [], compileRevKeys(doubling)));
    expect(error.details).to.include({ limit: "tensorNameBytes" });
    await expectError("RANKCAST_LIMIT", () => compileRevKeys(Array.from({ length: 1001 }, () => ["a", "b"] as const)));
    await expectError("RANKCAST_LIMIT", () => compileRevKeys([["a".repeat(4097), ""]]));
    await expectError("RANKCAST_LIMIT", () => compileRevKeys([["a", "a".repeat(4097)]]));
  });

  it("runBounded stops loops and patterns, and passes everything else through", () => {
    expect(() => runBounded(() => /^(a+)+$/.test(`${"a".repeat(60)}!`), 20)).to.throw(TimeUp);
    expect(() =>
      runBounded(() => {
        for (;;);
      }, 20),
    ).to.throw(TimeUp);
    expect(() =>
      runBounded(() => {
        throw new RangeError("mine");
      }, 1000),
    ).to.throw(RangeError, "mine");
    let done = false;
    runBounded(() => {
      done = true;
    }, 1000);
    expect(done).to.equal(true);
  });
});
