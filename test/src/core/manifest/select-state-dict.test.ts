import { OpaqueValue, selectStateDict, type TreeValue } from "@rankcast/core/internal";
import { expect } from "chai";
import { dict, list, pickledModule, vector } from "../../support/build-tree.ts";
import { expectError } from "../../support/expect-error.ts";

const choose = (root: TreeValue, select?: string): string => selectStateDict(root, { select, file: "last.ckpt" }).path;

describe("selectStateDict", () => {
  it("B4: looks for state_dict, then model, then the names others use, then takes the whole", () => {
    const weights = dict({ w: vector() });
    expect(choose(dict({ model: weights, state_dict: weights }))).to.equal("state_dict");
    expect(choose(dict({ params: weights, net: weights, model: weights }))).to.equal("model");
    expect(choose(dict({ params: weights, net: weights, epoch: 1 }))).to.equal("net");
    expect(choose(weights)).to.equal("");
    expect(choose(dict({}))).to.equal("");
  });

  it("B4: passes over candidates without tensors", () => {
    expect(choose(dict({ state_dict: null, model: dict({ w: vector() }) }))).to.equal("model");
    expect(choose(dict({ state_dict: dict({}), w: vector() }))).to.equal("");
    expect(choose(dict({ model: vector(), w: vector() }))).to.equal("");
    expect(choose(dict({ model: null, ema: pickledModule({ parameters: { w: vector() } }) }))).to.equal("ema");
  });

  it("prefers tensors held directly to tensors further down", () => {
    const nested = dict({ encoder: dict({ w: vector() }) });
    expect(choose(dict({ state_dict: nested, w: vector() }))).to.equal("");
    expect(choose(dict({ state_dict: nested, epoch: 1 }))).to.equal("state_dict");
    expect(choose(nested)).to.equal("");
  });

  it("takes a pickled module", () => {
    const child = pickledModule({ parameters: { w: vector() } });
    expect(choose(dict({ model: pickledModule({ modules: { child } }) }))).to.equal("model");
    expect(choose(pickledModule({ modules: { child } }))).to.equal("");
  });

  it("B4: follows a dotted path, keys with dots and positions included", () => {
    const weights = dict({ w: vector() });
    const root = dict({
      ema: dict({ state_dict: weights }),
      "a.b": dict({ c: weights }),
      a: dict({ b: dict({ d: weights }) }),
      l: list(1, weights),
    });
    for (const path of ["ema.state_dict", "a.b.c", "a.b.d", "l.1"]) expect(choose(root, path)).to.equal(path);
    expect(selectStateDict(root, { select: "a.b.d", file: "" }).value).to.equal(weights);
  });

  it("says where a path ended and what is there", async () => {
    const root = dict({ ema: dict({ shadow: dict({ w: vector() }), decay: 0.9 }) });
    const error = await expectError("RANKCAST_SELECT_PATH", () => choose(root, "ema.state_dict"));
    expect(error.details).to.deep.include({ select: "ema.state_dict", reached: "ema", keys: ["shadow", "decay"] });
    expect(error.class).to.equal("state-dict");
    await expectError("RANKCAST_SELECT_PATH", () => choose(root, "ema.decay"));
  });

  it("B3: refuses what is no dict in the words of vis4d", async () => {
    for (const root of [list(vector()), vector(), new OpaqueValue("acme.X", []), 3]) {
      const error = await expectError("RANKCAST_NO_STATE_DICT", () => choose(root));
      expect(error.message).to.equal("No state_dict found in checkpoint file last.ckpt");
    }
  });

  it("refuses keys that are no strings, naming key and type", async () => {
    const error = await expectError("RANKCAST_STATE_DICT_KEY", () =>
      choose(
        dict([
          ["w", vector()],
          [7, vector()],
        ]),
      ),
    );
    expect(error.details).to.include({ key: "7", found: "number" });
  });

  it("does not loop on paths that could be read in many ways", async () => {
    const a = dict({});
    a.entries.set("a", a);
    a.entries.set("a.a", a);
    await expectError("RANKCAST_SELECT_PATH", () => choose(a, `${"a.".repeat(200)}b`));
  });
});
