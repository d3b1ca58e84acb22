import { reviseKeys, StateDict, Tensor } from "@rankcast/core";
import { compileRevKeys, requireNoCollision, reviseNames } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";

const tensor = (value = 0) => Tensor.from(Float32Array.of(value), [1]);

function stateDict(names: readonly string[], metadata: Record<string, { version: number }> = {}): StateDict {
  const result = new StateDict();
  names.forEach((name, at) => {
    result.set(name, tensor(at));
  });
  result.metadata = new Map(Object.entries(metadata));
  return result;
}

const renamed = (names: readonly string[], rules: readonly (readonly [string, string])[]) => [
  ...reviseKeys(stateDict(names), rules).stateDict.keys(),
];

describe("rev-keys/revise-keys", () => {
  it("B1: takes the prefix module. off when nothing is said", () => {
    const before = stateDict(["module.a.weight", "b", "x.module.c"]);
    const { stateDict: after, renamed: count } = reviseKeys(before);
    expect([...after.keys()]).to.deep.equal(["a.weight", "b", "x.module.c"]);
    expect(count).to.equal(1);
    expect(after.get("a.weight")).to.equal(before.get("module.a.weight"));
    expect([...before.keys()]).to.deep.equal(["module.a.weight", "b", "x.module.c"]);
  });

  it("B5: every rule sees the result of the one before, all occurrences, order kept", () => {
    expect(
      renamed(
        ["neck.fpn_convs.3.conv.weight", "neck.fpn_convs.0.w"],
        [
          ["^neck.fpn_convs\\.", "fpn.layer_blocks."],
          ["^fpn.layer_blocks.3\\.", "fpn.extra_blocks.convs.0."],
        ],
      ),
    ).to.deep.equal(["fpn.extra_blocks.convs.0.conv.weight", "fpn.layer_blocks.0.w"]);
    expect(renamed(["a.a.a", "b"], [["a", "x"]])).to.deep.equal(["x.x.x", "b"]);
  });

  it("B6: a collision is an error that names both sources and the rule", async () => {
    const error = await expectError("RANKCAST_REV_KEY_COLLISION", () => reviseKeys(stateDict(["module.a.weight", "a.weight"])));
    expect(error.class).to.equal("state-dict");
    expect(error.message).to.equal('"module.a.weight" and "a.weight" both become "a.weight" by rule 1, "^module\\\\." => ""');
    expect(error.details).to.deep.equal({
      count: 1,
      collisions: [{ name: "a.weight", sources: ["module.a.weight", "a.weight"], rule: 0 }],
    });
  });

  it("B6: finds who caused a collision among several rules, and lists ten at most", async () => {
    const error = await expectError("RANKCAST_REV_KEY_COLLISION", () =>
      reviseKeys(stateDict(["a1", "b1", "c"]), [
        ["c", "d"],
        ["\\d", ""],
        ["^[ab]$", "x"],
        ["x", "y"],
      ]),
    );
    expect(error.message).to.equal('"a1" and "b1" both become "y" by rule 3, "^[ab]$" => "x"');
    const many = await expectError("RANKCAST_REV_KEY_COLLISION", () =>
      reviseKeys(stateDict(Array.from({ length: 13 }, (_, at) => `k${at}`)), [["\\d", ""]]),
    );
    expect(many.message).to.match(/; and 2 more$/);
  });

  it("B6: onCollision last keeps the last value at the first one's place, one rule at a time, as dicts do", () => {
    const keep = (names: readonly string[], rules: readonly (readonly [string, string])[]) =>
      [...reviseKeys(stateDict(names), rules, { onCollision: "last" }).stateDict].map(([name, value]) => `${name}=${value.item()}`);
    expect(keep(["module.a", "b", "a"], [["^module\\.", ""]])).to.deep.equal(["a=2", "b=1"]);
    // Rule 1 joins a and c at a's place with c's value; then rule 2 joins that with b, which now comes last.
    expect(
      keep(
        ["a", "b", "c"],
        [
          ["[ac]", "x"],
          ["[xb]", "y"],
        ],
      ),
    ).to.deep.equal(["y=1"]);
  });

  it("B7: renames module paths with the keys; a renamed path beats the wrapper's own", () => {
    const saved = stateDict(["module.bn.weight"], { "": { version: 9 }, module: { version: 1 }, "module.bn": { version: 2 } });
    expect([...reviseKeys(saved).stateDict.metadata]).to.deep.equal([
      ["", { version: 1 }],
      ["bn", { version: 2 }],
    ]);
    const late = stateDict(["module.bn.weight"], { module: { version: 1 }, "": { version: 9 } });
    expect([...reviseKeys(late).stateDict.metadata]).to.deep.equal([["", { version: 1 }]]);
  });

  it("B7: prefixes move the root too, and rules that are not about modules leave paths alone", () => {
    const saved = stateDict(["bn.weight"], { "": { version: 1 }, bn: { version: 2 } });
    const paths = (rules: readonly (readonly [string, string])[]) => [...reviseKeys(saved, rules).stateDict.metadata.keys()];
    expect(paths([["^", "backbone."]])).to.deep.equal(["backbone", "backbone.bn"]);
    expect(paths([["$", "_ema"]])).to.deep.equal(["", "bn"]);
    expect(paths([["\\.", "/"]])).to.deep.equal(["", "bn"]);
    expect(paths([["^bn\\.", "norm."]])).to.deep.equal(["", "norm"]);
  });

  it("B8: no rules rename nothing", () => {
    const before = stateDict(["module.a"], { "": { version: 1 } });
    const { stateDict: after, renamed: count } = reviseKeys(before, []);
    expect([...after.keys()]).to.deep.equal(["module.a"]);
    expect(count).to.equal(0);
    expect(after).to.not.equal(before);
    expect(after.metadata).to.not.equal(before.metadata);
  });

  it("B9: a key that is no string is an error naming the key and its type", async () => {
    const odd = new Map<unknown, Tensor>([
      ["a", tensor()],
      [3, tensor()],
    ]) as unknown as StateDict;
    const error = await expectError("RANKCAST_STATE_DICT_KEY", () => reviseKeys(odd));
    expect(error.details).to.deep.equal({ key: "3", type: "number" });
  });

  it("B10: the default takes one level off", () => {
    expect(renamed(["module.module.x"], [["^module\\.", ""]])).to.deep.equal(["module.x"]);
  });

  it("renames extra state with the keys", () => {
    const before = stateDict(["module.a"]);
    before.extraState.set("module.fp8._extra_state", 7);
    const { stateDict: after } = reviseKeys(before);
    expect([...after.extraState]).to.deep.equal([["fp8._extra_state", 7]]);
    expect([...after.keys()]).to.deep.equal(["a"]);
  });

  it("takes RegExp rules in JavaScript's sense", () => {
    const rules = [
      [/A/i, "$&$&"],
      [/x/g, (match: string) => match.toUpperCase()],
      [/(?<n>b)$/, "<$<n>>"],
    ] as const;
    expect([...reviseKeys(stateDict(["ababx.xb"]), rules).stateDict.keys()]).to.deep.equal(["aababX.X<b>"]);
    const sticky = /a/y;
    sticky.lastIndex = 3;
    expect([...reviseKeys(stateDict(["aa"]), [[sticky, "b"]]).stateDict.keys()]).to.deep.equal(["ba"]);
    expect(sticky.lastIndex).to.equal(3);
  });

  it("passes on what a replacement function throws", () => {
    const fail = () => {
      throw new RangeError("mine");
    };
    expect(() => reviseKeys(stateDict(["a"]), [[/a/, fail]])).to.throw(RangeError, "mine");
  });

  it("refuses rules that are none, with place and reason", async () => {
    for (const wrong of [[["a"]], [["a", "b", "c"]], [[1, "b"]], [["a", 2]], [[/a/, 2]], ["ab"], "ab", [null]]) {
      await expectError("RANKCAST_REV_KEY_PATTERN", () => compileRevKeys(wrong as never));
    }
    const error = await expectError("RANKCAST_REV_KEY_PATTERN", () =>
      compileRevKeys([
        ["fine", ""],
        ["a(b", "c"],
      ]),
    );
    expect(error.class).to.equal("usage");
    expect(error.message).to.equal('rule 2 of revKeys, "a(b" => "c": missing ), unterminated subpattern at position 1');
    expect(error.details).to.include({ rule: 1, pattern: "a(b", position: 1 });
    const named = await expectError("RANKCAST_REV_KEY_PATTERN", () => compileRevKeys([["(?<n>a)", ""]]));
    expect(named.message).to.contain("unknown extension ?<n at position 1; Python writes named groups (?P<name>...)");
    const ours = await expectError("RANKCAST_REV_KEY_PATTERN", () => compileRevKeys([["(?t)a", ""]]));
    expect(ours.message).to.contain("cannot be expressed (Python accepts this)");
  });

  it("reports warnings with their rule", () => {
    expect(reviseKeys(stateDict(["model.a"]), [["^model\\.", "m\\."]]).warnings).to.have.length(1);
    expect(
      compileRevKeys([
        ["x", "y"],
        ["a", "\\-"],
      ]).warnings[0],
    ).to.match(/^rule 2 of revKeys: /);
  });

  it("keeps tensors, order and storages of 10 000 keys through ten rules", () => {
    const names = Array.from({ length: 10_000 }, (_, at) => `module.layers.${at}.w`);
    const revised = reviseNames(
      names,
      [],
      compileRevKeys([
        ["^module\\.", ""],
        ["\\.(\\d+)\\.", "[\\1]."],
        ["w$", "weight"],
      ]),
    );
    expect(revised.names[9999]).to.equal("layers[9999].weight");
    expect(revised.entries.map(([, index]) => index)).to.deep.equal(names.map((_, at) => at));
    expect(revised.renamed).to.equal(10_000);
    expect(() => requireNoCollision(revised, { source: [] })).to.not.throw();
  });

  it("treats names as data: prototypes, empty names, separators", () => {
    expect(renamed(["__proto__", "", "constructor", "a\u2028b"], [["^", "x."]])).to.deep.equal([
      "x.__proto__",
      "x.",
      "x.constructor",
      "x.a\u2028b",
    ]);
  });
});
