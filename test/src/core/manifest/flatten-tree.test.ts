import { compileLimits, DEFAULT_LIMITS } from "@rankcast/core";
import { ComplexValue, flattenTree, KeyTuple, OpaqueValue, SparseRef, TreeList, type TreeValue } from "@rankcast/core/internal";
import { expect } from "chai";
import { dict, list, pickledModule, storage, vector } from "../../support/build-tree.ts";
import { expectError } from "../../support/expect-error.ts";

const limits = DEFAULT_LIMITS;
const flatten = (root: TreeValue) => flattenTree(root, { limits });
const names = (root: TreeValue): string[] => flatten(root).tensors.map(({ name }) => name);

describe("flattenTree", () => {
  it("joins keys and positions with dots, in the checkpoint's order", () => {
    const root = dict({
      model: dict({ "conv.weight": vector() }),
      optimizer: dict([[0, list(vector(), dict({ x: vector() }))]]),
      a: vector(),
    });
    expect(names(root)).to.deep.equal(["model.conv.weight", "optimizer.0.0", "optimizer.0.1.x", "a"]);
  });

  it("names a tensor that is the root with the empty name, and an empty key likewise", () => {
    expect(names(vector())).to.deep.equal([""]);
    expect(names(dict({ "": vector(), a: dict({ "": vector() }) }))).to.deep.equal(["", "a."]);
  });

  it("spells keys that are no text as Python does", () => {
    const keys = [1, -2n, true, false, null, new KeyTuple([1, "x"]), new KeyTuple([1]), Buffer.from("a'\n\xff", "latin1")] as const;
    expect(names(dict(keys.map((key) => [key, vector()])))).to.deep.equal([
      "1",
      "-2",
      "True",
      "False",
      "None",
      "(1, 'x')",
      "(1,)",
      `b"a'\\n\\xff"`,
    ]);
  });

  it("lists sparse tensors by their parts", () => {
    const sparse = new SparseRef(
      "coo",
      [2, 2],
      new Map([
        ["indices", vector()],
        ["values", vector()],
      ]),
    );
    expect(names(dict({ s: sparse }))).to.deep.equal(["s.indices", "s.values"]);
    expect(names(sparse)).to.deep.equal(["indices", "values"]);
  });

  it("takes a pickled module for its state dict: parameters, persistent buffers, then children", () => {
    const child = pickledModule({ parameters: { weight: vector(), bias: null } });
    const model = pickledModule({
      parameters: { scale: vector() },
      buffers: { mean: vector(), cache: vector(), none: null },
      transient: ["cache"],
      modules: { body: child, off: null },
    });
    const flat = flatten(dict({ model, note: 1 }));
    expect(flat.tensors.map(({ name }) => name)).to.deep.equal(["model.scale", "model.mean", "model.body.weight"]);
    expect(flat.opaque).to.deep.equal([{ path: "model", global: "acme.Net", dangerous: false }]);
    expect(flat.nontensor).to.deep.equal([["note", 1]]);
  });

  it("takes a scripted module for its state dict", () => {
    const inner = new OpaqueValue("__torch__.Inner", [], false, dict({ w: vector(), training: true }));
    const model = new OpaqueValue("__torch__.Net", [], false, dict({ inner, b: vector(), name: "x" }));
    expect(names(model)).to.deep.equal(["b", "inner.w"]);
  });

  it("lists nothing inside other objects, nor bare storages", () => {
    const object = new OpaqueValue("acme.Config", [vector()], false, dict({ w: vector() }));
    object.entries.push(["k", vector()]);
    const flat = flatten(dict({ object, storage: storage(4), w: vector() }));
    expect(flat.tensors.map(({ name }) => name)).to.deep.equal(["w"]);
    expect(flat.opaque).to.deep.equal([{ path: "object", global: "acme.Config", dangerous: false }]);
  });

  it("reports dangerous calls, those inside harmless objects too, each once", () => {
    const call = new OpaqueValue("os.system", ["id"], true);
    const carrier = new OpaqueValue("acme.Config", [], false, list(dict({ a: call })));
    expect(flatten(dict({ carrier, again: carrier })).opaque).to.deep.equal([
      { path: "carrier", global: "acme.Config", dangerous: false },
      { path: "carrier", global: "os.system", dangerous: true },
      { path: "again", global: "acme.Config", dangerous: false },
    ]);
  });

  it("gives plain values a JSON form and keeps what JSON cannot hold as text", () => {
    const values = {
      i: 7,
      f: 0.5,
      n: null,
      b: true,
      s: "x",
      big: 2n ** 40n,
      huge: -(2n ** 70n),
      c: new ComplexValue(1.5, -2),
      j: new ComplexValue(0, 3),
    };
    const bytes = Buffer.from([0, 255, 0x80, 0x6f, 0x6b]);
    expect(flatten(dict({ ...values, bytes, long: new Uint8Array(5000) })).nontensor).to.deep.equal([
      ["i", 7],
      ["f", 0.5],
      ["n", null],
      ["b", true],
      ["s", "x"],
      ["big", 2 ** 40],
      ["huge", "-1180591620717411303424"],
      ["c", "(1.5-2j)"],
      ["j", "3j"],
      ["bytes", "b'\\x00\\xff\\x80ok'"],
      ["long", "<5000 bytes>"],
    ]);
  });

  it("finds _metadata at its dict, never as a key", () => {
    const state = dict({ w: vector() }, "OrderedDict");
    state.attributes = dict({
      _metadata: dict([
        ["", dict({ version: 1 })],
        ["bn", dict({ version: 2, __proto__: 3 })],
        [5, dict({})],
      ]),
    });
    const flat = flatten(dict({ state_dict: state }));
    expect(flat.metadataModules.map(([path, { version }]) => [path, version])).to.deep.equal([
      ["state_dict", 1],
      ["state_dict.bn", 2],
    ]);
    expect(flatten(state).metadataModules.map(([path]) => path)).to.deep.equal(["", "bn"]);
    expect(flat.nontensor).to.deep.equal([]);
  });

  it("lists what is in a cycle once, and refuses cycles in a state dict with their path", async () => {
    const loop = list(vector());
    loop.elements.push(loop);
    const back = dict({ w: vector() });
    back.entries.set("self", dict({ back }));
    const root = dict({ list: loop, dict: back });
    const flat = flatten(root);
    expect(flat.tensors.map(({ name }) => name)).to.deep.equal(["list.0", "dict.w"]);
    expect(flat.warnings.map(({ code }) => code)).to.deep.equal(["cycle-skipped"]);
    const error = await expectError("RANKCAST_TREE_CYCLE", () => flattenTree(root, { limits, cycles: "refuse", where: "x.pt" }));
    expect(error.details["paths"]).to.deep.equal(["list.1", "dict.self.back"]);
    expect(error.message).to.contain("x.pt: list.1 leads back");
  });

  it("a cycle inside extra state is the module's own affair, as in torch; a listing says that it shows it once", async () => {
    const loop = list(1);
    loop.elements.push(loop);
    const root = dict({ w: vector(), "bn._extra_state": dict({ loop }) });
    const flat = flattenTree(root, { limits, cycles: "refuse", stateDict: true, where: "x.pt" });
    expect(flat.extraState.map(([key]) => key)).to.deep.equal(["bn._extra_state"]);
    expect(flat.warnings).to.deep.equal([]);
    expect(flatten(root).warnings.map(({ code }) => code)).to.deep.equal(["cycle-skipped"]);
    root.entries.set("other", dict({ loop: list(loop) }));
    root.entries.set("back", root);
    const error = await expectError("RANKCAST_TREE_CYCLE", () => flattenTree(root, { limits, cycles: "refuse", stateDict: true }));
    expect(error.details["paths"]).to.deep.equal(["back"]);
  });

  it("refuses containers that all hold each other instead of walking every path", async () => {
    const knots = Array.from({ length: 200 }, () => list(vector()));
    for (const knot of knots) knot.elements.push(...knots);
    await expectError("RANKCAST_LIMIT", () => flatten(dict({ knots: list(...knots) })));
  });

  it("lists shared containers at each place", () => {
    const shared = list(0.9, 0.999);
    const flat = flatten(dict({ a: shared, b: shared }));
    expect(flat.nontensor.map(([name]) => name)).to.deep.equal(["a.0", "a.1", "b.0", "b.1"]);
  });

  it("does not expand a graph of 2^40 paths", async () => {
    let doubled: TreeValue = list(1, 2);
    for (let level = 0; level < 40; level += 1) doubled = new TreeList("tuple", [doubled, doubled]);
    const flat = flatten(dict({ w: vector(), doubled }));
    expect(flat.tensors.map(({ name }) => name)).to.deep.equal(["w"]);
    expect(flat.warnings.map(({ code }) => code)).to.deep.equal(["shared-values-listed-once"]);
    let tensors: TreeValue = list(vector());
    for (let level = 0; level < 40; level += 1) tensors = list(tensors, tensors);
    const error = await expectError("RANKCAST_LIMIT", () => flatten(tensors));
    expect(error.details["limit"]).to.equal("treeRepeatedValues");
  });

  it("bounds depth, tensors, names", async () => {
    let deep: TreeValue = 1;
    for (let level = 0; level < 20_000; level += 1) deep = list(deep);
    expect((await expectError("RANKCAST_LIMIT", () => flatten(deep))).details["limit"]).to.equal("treeDepth");
    // As many containers in one another as the limit says pass, one more does not, wherever the survey meets them first.
    const nested = list(list(list(vector())));
    const limits = (treeDepth: number) => ({ limits: compileLimits({ treeDepth }) });
    for (const tree of [nested, list(list(vector()), list(list(vector())))]) {
      expect(flattenTree(tree, limits(3)).tensors.length).to.be.above(0);
      const { details } = await expectError("RANKCAST_LIMIT", () => flattenTree(tree, limits(2)));
      expect(details).to.include({ limit: "treeDepth", allowed: 2, found: 3 });
    }
    const shared = list(list(vector()));
    expect((await expectError("RANKCAST_LIMIT", () => flattenTree(list(shared, list(shared)), limits(3)))).details["found"]).to.equal(4);
    const few = compileLimits({ tensors: 2 });
    expect(
      (await expectError("RANKCAST_LIMIT", () => flattenTree(list(vector(), vector(), vector()), { limits: few }))).details["limit"],
    ).to.equal("tensors");
    const long = dict({ ["x".repeat(2 ** 20)]: vector(), y: vector() });
    expect((await expectError("RANKCAST_LIMIT", () => flatten(dict({ a: long })))).details["limit"]).to.equal("tensorNameBytes");
    const above = dict({ ["x".repeat(10_000)]: dict(Array.from({ length: 100 }, (_, index) => [index, vector()] as const)) });
    const narrow = compileLimits({ treeNamesBytes: 500_000 });
    expect((await expectError("RANKCAST_LIMIT", () => flattenTree(above, { limits: narrow }))).details["limit"]).to.equal("treeNamesBytes");
  });

  it("lists a dict of nothing but tensors as it lists one with something beside them", async () => {
    const metadata = dict({ _metadata: dict({ "": dict({ version: 1 }), conv: dict({ version: 2 }) }) });
    const entries = Array.from({ length: 20 }, (_, index) => [`conv.${index}`, vector(1 + (index % 3))] as const);
    const listed = (extra: readonly (readonly [string, TreeValue])[], changes: Record<string, number> = {}) => {
      const root = dict([...entries, ...extra]);
      root.attributes = metadata;
      const { tensors, nontensor, opaque, metadataModules, warnings, distinct } = flattenTree(root, {
        limits: compileLimits(changes),
        cycles: "refuse",
        stateDict: true,
        fileBytes: 1000,
      });
      return { tensors: tensors.map((tensor) => tensor), nontensor, opaque, metadataModules, warnings, distinct };
    };
    const beside = [["a", dict({})]] as const;
    expect({ ...listed([]), distinct: false }).to.deep.equal({ ...listed(beside), distinct: false });
    expect(listed([]).distinct).to.equal(true);
    for (const changes of [
      { tensors: 19 },
      { tensorNameBytes: 6 },
      { treeNamesBytes: 50 },
      { treeHeapBytesFloor: 1, treeHeapRatio: 1, pickleValueBytesFloor: 1, pickleValueRatio: 1 },
    ]) {
      const refused = await expectError("RANKCAST_LIMIT", () => listed([], changes));
      const other = await expectError("RANKCAST_LIMIT", () => listed(beside, changes));
      expect(refused.message, JSON.stringify(changes)).to.equal(other.message);
    }
  });
});
