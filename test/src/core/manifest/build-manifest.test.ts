import { DEFAULT_LIMITS } from "@rankcast/core";
import {
  aliasesOf,
  buildManifest,
  copyStorage,
  encodeManifest,
  type ManifestOptions,
  manifestDigest,
  type StateDictManifest,
  StorageRef,
  TensorRef,
  type TreeValue,
} from "@rankcast/core/internal";
import { expect } from "chai";
import { dict, storage, treeOf, vector } from "../../support/build-tree.ts";
import { expectError } from "../../support/expect-error.ts";

const build = (root: TreeValue, options: Partial<ManifestOptions> = {}) =>
  buildManifest(treeOf(root), { limits: DEFAULT_LIMITS, ...options });

describe("buildManifest", () => {
  it("describes each storage once, by identity", () => {
    const shared = storage(16);
    const root = dict({ a: vector(4, { storage: shared }), b: vector(2, { storage: shared, storageOffset: 2 }), c: vector(4) });
    const manifest = build(root);
    expect(manifest.storages.length).to.equal(2);
    expect(manifest.tensors.map(({ name, storage: index, storageOffset }) => [name, index, storageOffset])).to.deep.equal([
      ["a", 0, 0],
      ["b", 0, 2],
      ["c", 1, 0],
    ]);
    expect(aliasesOf(manifest)).to.deep.equal([["a", "b"]]);
  });

  it("storages that make their pieces say the same as plain ones, also when they are copied or encoded", () => {
    const plain = storage(16, 100);
    const run = new StorageRef({ nbytes: 16, pieces: 100 });
    const manifests = [plain, run].map((each) => build(dict({ a: vector(4, { storage: each }) })));
    expect(manifests[1]?.storages[0]).to.equal(run);
    const [first, second] = manifests.map(({ storages }) => storages.map((each) => copyStorage(each)));
    expect(first).to.deep.equal(second);
    expect(first).to.deep.equal([{ nbytes: 16, pieces: plain.pieces, swapBytes: 1, savedDevice: "cpu" }]);
    expect(copyStorage(run, { nbytes: 0, pieces: [] })).to.deep.equal({ nbytes: 0, pieces: [], swapBytes: 1, savedDevice: "cpu" });
    expect(manifests.map(manifestDigest)[0]).to.equal(manifests.map(manifestDigest)[1]);
    expect(Buffer.from(encodeManifest(manifests[0] as StateDictManifest))).to.deep.equal(
      Buffer.from(encodeManifest(manifests[1] as StateDictManifest)),
    );
  });

  it("names tensors relative to the state dict, or to the file", () => {
    const root = dict({ epoch: 3, state_dict: dict({ "a.w": vector() }), optimizer: dict({ m: vector() }) });
    const part = build(root, { stateDict: true });
    expect([part.selected, ...part.tensors.map(({ name }) => name)]).to.deep.equal(["state_dict", "a.w"]);
    expect(part.nontensor).to.deep.equal([]);
    const whole = build(root);
    expect([whole.selected, ...whole.tensors.map(({ name }) => name)]).to.deep.equal(["", "state_dict.a.w", "optimizer.m"]);
    expect(build(root, { select: "optimizer" }).tensors.map(({ name }) => name)).to.deep.equal(["m"]);
  });

  it("keeps a subtree by whole segments and moves its metadata along", async () => {
    const state = dict({ "backbone.w": vector(), "backbone2.w": vector(), "head.w": vector() }, "OrderedDict");
    state.attributes = dict({
      _metadata: dict({
        "": dict({ version: 1 }),
        backbone: dict({ version: 2 }),
        "backbone.bn": dict({ version: 3 }),
        head: dict({ version: 4 }),
      }),
    });
    for (const subtree of ["backbone", "backbone."]) {
      const manifest = build(dict({ state_dict: state }), { stateDict: true, subtree });
      expect(manifest.tensors.map(({ name }) => name)).to.deep.equal(["w"]);
      expect(manifest.metadataModules).to.deep.equal([
        ["", { version: 2 }],
        ["bn", { version: 3 }],
      ]);
    }
    const error = await expectError("RANKCAST_SELECT_SUBTREE", () => build(state, { subtree: "neck" }));
    expect(error.details["prefixes"]).to.deep.equal(["backbone", "backbone2", "head"]);
  });

  it("refuses two tensors of one name in a state dict", async () => {
    const root = dict({ "a.b": vector(), a: dict({ b: vector() }) });
    expect(build(root).tensors.length).to.equal(2);
    await expectError("RANKCAST_STATE_DICT_COLLISION", () => build(root, { stateDict: true }));
  });

  it("carries flags, devices and origins", () => {
    const big = new StorageRef({ nbytes: 8, pieces: storage(8).pieces, swapBytes: 4, savedDevice: "cuda:1" });
    const c = new TensorRef({
      dtype: "complex64",
      shape: [1],
      stride: [1],
      storageOffset: 0,
      storage: big,
      conj: true,
      neg: true,
      requiresGrad: true,
      origin: "parameter",
    });
    const meta = new StorageRef({ nbytes: 400, pieces: [], meta: true });
    const manifest = build(dict({ c, m: vector(100, { storage: meta, origin: "numpy" }) }));
    expect(manifest.tensors[0]).to.deep.include({ conj: true, neg: true, requiresGrad: true, origin: "parameter" });
    expect(manifest.tensors[1]).to.have.property("origin", "numpy");
    expect(manifest.storages[0]).to.deep.include({ swapBytes: 4, savedDevice: "cuda:1" });
    expect(manifest.storages[1]).to.deep.include({ meta: true, pieces: [] });
  });

  describe("storages used in part", () => {
    const MIB = 2 ** 20;
    const base = new StorageRef({
      nbytes: MIB,
      pieces: [{ at: 0, nbytes: MIB, extent: { type: "range", source: 0, offset: 640, storedBytes: MIB, encoding: "stored", crc32: 5 } }],
    });

    it("are cut down to the used runs, and tensors still share them", () => {
      const a = vector(100, { storage: base, storageOffset: 1000 });
      const b = vector(50, { storage: base, storageOffset: 1050 });
      const c = vector(10, { storage: base, storageOffset: 200_000 });
      const manifest = build(dict({ a, b, c }), { stateDict: true });
      expect(aliasesOf(manifest)).to.deep.equal([["a", "b", "c"]]);
      const [only] = manifest.storages;
      // a and b: elements 1000 to 1100, bytes 4000 to 4400, in multiples of 64: 3968 to 4416. c: 800000 to 800040, so 800000 to 800064.
      expect(only?.nbytes).to.equal(448 + 64);
      expect(
        only?.pieces.map(({ at, nbytes, extent }) => [
          at,
          nbytes,
          extent.type === "range" ? [extent.offset, extent.storedBytes, extent.crc32] : null,
        ]),
      ).to.deep.equal([
        [0, 448, [640 + 3968, 448, null]],
        [448, 64, [640 + 800_000, 64, null]],
      ]);
      expect(manifest.tensors.map(({ storageOffset }) => storageOffset)).to.deep.equal([8, 58, 112]);
      expect(manifest.checksums).to.equal("partial");
      expect(manifest.warnings.map(({ code }) => code)).to.deep.equal(["storages-trimmed"]);
    });

    it("stay whole when half or more is used, when small, compressed, or in a listing of the file", () => {
      const slice = (of: StorageRef, count: number) => dict({ a: vector(count, { storage: of }) });
      expect(build(slice(base, 140_000), { stateDict: true }).storages[0]?.nbytes).to.equal(MIB);
      expect(build(slice(base, 10)).storages[0]?.nbytes).to.equal(MIB);
      expect(build(slice(storage(4096), 10), { stateDict: true }).storages[0]?.nbytes).to.equal(4096);
      const packed = { type: "range", source: 0, offset: 0, storedBytes: 5000, encoding: "deflate", crc32: 1 } as const;
      const deflated = new StorageRef({ nbytes: MIB, pieces: [{ at: 0, nbytes: MIB, extent: packed }] });
      expect(build(slice(deflated, 10), { stateDict: true }).storages[0]?.nbytes).to.equal(MIB);
    });

    it("are cut across pieces, whole pieces keep their checksum", () => {
      const piece = (at: number, nbytes: number) => ({
        at,
        nbytes,
        extent: { type: "range", source: 0, offset: 10 * at, storedBytes: nbytes, encoding: "stored", crc32: 9 } as const,
      });
      const parts = new StorageRef({ nbytes: MIB, pieces: [piece(65_536, 64), piece(65_600, MIB - 65_600), piece(0, 65_536)] });
      const manifest = build(dict({ a: vector(48, { storage: parts, storageOffset: (65_536 - 64) / 4 }) }), { stateDict: true });
      expect(
        manifest.storages[0]?.pieces.map(({ at, nbytes, extent }) => [
          at,
          nbytes,
          extent.type === "range" ? [extent.offset, extent.crc32] : null,
        ]),
      ).to.deep.equal([
        [0, 64, [65_472, null]],
        [64, 64, [655_360, 9]],
        [128, 64, [656_000, null]],
      ]);
      expect(manifest.tensors[0]?.storageOffset).to.equal(0);
    });
  });
});
