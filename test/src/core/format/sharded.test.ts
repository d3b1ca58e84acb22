/** Models in several files: the index, its paths, its contradictions. */
import { CheckpointError, FormatError, SourceError } from "@rankcast/core";
import {
  type CheckpointTree,
  type FormatInput,
  moveStorages,
  OpaqueValue,
  rebaseSources,
  SparseRef,
  StorageRef,
  safetensors,
  shardedFormat,
  TensorRef,
  TreeDict,
  TreeList,
} from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.js";
import { digestTree, expectedRows, fixtureInput, inputOf, refusalOf, safetensorsFile } from "./sources.ts";

/** Shards are safetensors here; other kinds are read by the conformance suite. */
async function readShard(input: FormatInput): Promise<CheckpointTree> {
  if (!(await safetensors.matches(input))) throw new FormatError("RANKCAST_UNKNOWN_FORMAT", `${input.source.name} is no safetensors file`);
  return safetensors.read(input);
}

const sharded = shardedFormat(readShard);

function shardOf(names: Readonly<Record<string, number>>, metadata?: Readonly<Record<string, string>>): Buffer {
  const entries = Object.keys(names).map((name, index) => [name, { dtype: "U8", shape: [1], data_offsets: [index, index + 1] }]);
  return safetensorsFile(
    JSON.stringify({ ...(metadata ? { __metadata__: metadata } : {}), ...Object.fromEntries(entries) }),
    Uint8Array.from(Object.values(names)),
  );
}

function indexInput(index: unknown, files: Readonly<Record<string, Uint8Array>>, limits: Record<string, number> = {}): FormatInput {
  const text = Buffer.from(typeof index === "string" ? index : JSON.stringify(index));
  return inputOf(text, { name: "m.index.json", files: new Map(Object.entries(files)), limits });
}

describe("sharded", () => {
  for (const [path, row] of expectedRows(/^accepted\/sharded\/(?!bin_)/)) {
    it(`reads ${path}`, async () => {
      const input = fixtureInput(path);
      expect(await sharded.matches(input)).to.equal(true);
      expect(await digestTree(await sharded.read(input))).to.have.deep.members([...(row.tensors ?? [])]);
    });
  }

  for (const [path, row] of expectedRows(/^refused\/.*index\.json$/)) {
    it(`refuses ${path}`, async () => {
      const input = fixtureInput(path);
      if (!(await sharded.matches(input))) return expect([row.class].flat()).to.include("unknown-format");
      const error = await sharded.read(input).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(error).to.be.instanceOf(CheckpointError);
      return expect([row.class].flat()).to.include((error as CheckpointError).class);
    });
  }

  it("is recognised by the names in the root, however far down they stand", async () => {
    const far = `{"metadata":{"note":"${"x".repeat(10_000)}"},"weight_map":{}}`;
    for (const [text, matches] of [
      ['{"weight_map":{}}', true],
      ['\n {"metadata":{"weight_map":1}}', true],
      [far, true],
      [far.replace("weight_map", "weight_mop"), false],
      ['{"a":{"weight_map":{}}}', false],
      ['["weight_map"]', false],
      ["{'weight_map':{}}", false],
      ["", false],
    ] as const)
      expect(await sharded.matches(indexInput(text, {})), text.slice(0, 40)).to.equal(matches);
  });

  it("keeps the order of the map and the storages of every shard", async () => {
    const tree = await sharded.read(
      indexInput(
        { metadata: { total_size: "5", flag: true }, weight_map: { c: "2.safetensors", a: "1.safetensors", b: "2.safetensors" } },
        { "1.safetensors": shardOf({ a: 1 }, { format: "pt" }), "2.safetensors": shardOf({ b: 2, c: 3 }) },
      ),
    );
    const root = tree.root as TreeDict;
    expect([...root.entries.keys()]).to.deep.equal(["c", "a", "b"]);
    expect(tree.sources.map(({ name }) => name)).to.deep.equal(["2.safetensors", "1.safetensors"]);
    expect([...tree.fileMetadata]).to.deep.equal([
      ["format", "pt"],
      ["total_size", "5"],
      ["flag", "true"],
    ]);
    const found = await digestTree(tree);
    const alone = await Promise.all(
      [{ c: 3 }, { a: 1 }, { b: 2 }].map(async (names) => (await digestTree(await readShard(inputOf(shardOf(names)))))[0]),
    );
    expect(found).to.deep.equal(alone);
  });

  it("gives tied names back although the map leaves them out", async () => {
    const tree = await sharded.read(indexInput({ weight_map: { w: "1" } }, { "1": shardOf({ w: 7 }, { tied: "w" }) }));
    const [w, tied] = [...(tree.root as TreeDict).entries.values()] as TensorRef[];
    expect(tied?.storage).to.equal(w?.storage);
    expect(tree.warnings).to.deep.equal([]);
  });

  it("warns of names that the map does not list", async () => {
    const tree = await sharded.read(indexInput({ weight_map: { a: "1" } }, { "1": shardOf({ a: 1, x: 2, y: 3 }) }));
    expect(tree.warnings).to.deep.equal([
      { code: "names-outside-index", message: '"1" holds 2 names that the index does not list, "x" first' },
    ]);
    expect([...(tree.root as TreeDict).entries.keys()]).to.deep.equal(["a"]);
  });

  it("names index, shard and tensor when they contradict each other", async () => {
    const files = { "1": shardOf({ a: 1 }), "2": shardOf({ a: 1, b: 2 }) };
    const twice = await expectError("RANKCAST_INDEX_MISMATCH", () => sharded.read(indexInput({ weight_map: { a: "1", b: "2" } }, files)));
    expect(twice.details).to.deep.equal({ file: "m.index.json", path: "2", key: "a" });
    const absent = await expectError("RANKCAST_INDEX_MISMATCH", () =>
      sharded.read(indexInput({ weight_map: { a: "1", c: "1", d: "1" } }, files)),
    );
    expect(absent.message).to.equal('m.index.json: "1" does not hold "c" and 1 more');
    const missing = await expectError("RANKCAST_INDEX_SHARD", () => sharded.read(indexInput({ weight_map: { a: "3" } }, files)));
    expect(missing.class).to.equal("index");
    const rootless = shardedFormat(async (input) => ({ ...(await readShard(input)), root: null }));
    await expectError("RANKCAST_INDEX_MISMATCH", () => rootless.read(indexInput({ weight_map: { a: "1" } }, files)));
  });

  for (const [why, index, code] of [
    ["a second weight_map", '{"weight_map":{},"weight_map":{}}', "RANKCAST_INDEX_SYNTAX"],
    ["one tensor twice", '{"weight_map":{"a":"1","a":"1"}}', "RANKCAST_INDEX_SYNTAX"],
    ["a number for a file", '{"weight_map":{"a":1}}', "RANKCAST_INDEX_SYNTAX"],
    ["text behind the object", '{"weight_map":{}} x', "RANKCAST_INDEX_SYNTAX"],
    ["no map", '{"metadata":{}}', "RANKCAST_INDEX_SYNTAX"],
    ...[
      "../x",
      "/x",
      "a/../x",
      "a//x",
      "./x",
      "",
      "a/",
      "C:x",
      "c:/x",
      "http://h/x",
      "file:x",
      "a\\x",
      "a\u0000",
      "a\nb",
      "%2e%2e/x",
      "a%2Fx",
      "a%5cx",
      "a%00",
    ].map((path): [string, string, string] => [
      `the path ${JSON.stringify(path)} (62)`,
      JSON.stringify({ weight_map: { a: path } }),
      "RANKCAST_UNSAFE_PATH",
    ]),
  ] as const) {
    it(`refuses ${why}`, async () => {
      await expectError(code, () => sharded.read(indexInput(index, {})));
    });
  }

  it("sums up checksums, reads shards one level further in, and passes other failures on", async () => {
    const files = { "1": shardOf({ a: 1 }), "2": shardOf({ b: 2 }) };
    const index = { weight_map: { a: "1", b: "2" } };
    const withChecksums = (...each: CheckpointTree["checksums"][]) =>
      shardedFormat(async (input) => {
        expect(input.nesting).to.equal(1);
        return { ...(await readShard(input)), checksums: each[Number(input.source.name) - 1] ?? "absent" };
      }).read(indexInput(index, files));
    expect((await withChecksums("present", "present")).checksums).to.equal("present");
    expect((await withChecksums("present", "absent")).checksums).to.equal("partial");
    expect((await withChecksums("absent", "absent")).checksums).to.equal("absent");
    expect((await sharded.read(indexInput({ weight_map: {} }, {}))).checksums).to.equal("absent");
    const input = indexInput(index, files);
    const refusing = {
      ...input,
      siblings: { ...input.siblings, open: async () => Promise.reject(new SourceError("RANKCAST_FILE_UNREADABLE", "no")) },
    };
    // Unreadable is a kind of not found; a file that changed is neither.
    const unreadable = await expectError("RANKCAST_INDEX_SHARD", () => sharded.read(refusing));
    expect(unreadable.message).to.contain("can not be read");
    expect(unreadable.remedy).to.contain("permissions");
    const changed = {
      ...input,
      siblings: { ...input.siblings, open: async () => Promise.reject(new SourceError("RANKCAST_SOURCE_CHANGED", "no")) },
    };
    await expectError("RANKCAST_SOURCE_CHANGED", () => sharded.read(changed));
  });

  it("bounds sizes and counts", async () => {
    const files = { "1": shardOf({ a: 1 }), "2": shardOf({ b: 2 }) };
    const index = { weight_map: { a: "1", b: "2" } };
    for (const [limits, name] of [
      [{ indexBytes: 20 }, "indexBytes"],
      [{ indexShards: 1 }, "indexShards"],
      [{ tensors: 1 }, "tensors"],
      [{ jsonDepth: 1 }, "jsonDepth"],
    ] as const) {
      const error = await refusalOf(() => sharded.read(indexInput(index, files, limits)));
      expect(error.details["limit"]).to.equal(name);
    }
    const size = JSON.stringify(index).length;
    await sharded.read(indexInput(index, files, { indexBytes: size, indexShards: 2, tensors: 2, jsonDepth: 3 }));
    const long = await refusalOf(() => sharded.read(indexInput({ weight_map: { ["x".repeat(5000)]: "1" } }, files)));
    expect(long.details["limit"]).to.equal("indexNameBytes");
    const path = await refusalOf(() => sharded.read(indexInput({ weight_map: { x: "y".repeat(5000) } }, files)));
    expect(path.details["limit"]).to.equal("indexNameBytes");
  });

  it("reads an index of 200 000 names over 500 shards in linear time", async () => {
    const weightMap: Record<string, string> = {};
    const shards: Record<string, Record<string, number>> = {};
    for (let index = 0; index < 200_000; index += 1) {
      const shard = `model-${String(index % 500).padStart(5, "0")}-of-00500.safetensors`;
      weightMap[`layer.${index}.weight`] = shard;
      shards[shard] = Object.assign(shards[shard] ?? {}, { [`layer.${index}.weight`]: index % 256 });
    }
    const files = Object.fromEntries(Object.entries(shards).map(([name, names]) => [name, shardOf(names)]));
    // Tensors of one byte: what is known about each takes more than the usual multiple of the files.
    const tree = await sharded.read(indexInput({ weight_map: weightMap }, files, { pickleValueRatio: 20 }));
    expect((tree.root as TreeDict).entries.size).to.equal(200_000);
  }).timeout(30_000);

  it("reads an index that says more than its own size allows when its files are large", async () => {
    const names = Array.from({ length: 300 }, (_, index) => `w${index}`);
    const index = { weight_map: Object.fromEntries(names.map((name) => [name, "1"])) };
    const small = { pickleValueBytesFloor: 20_000, pickleValueRatio: 0.5, treeHeapBytesFloor: 1 };
    const rows = names.map((name, at) => [name, { dtype: "U8", shape: [1], data_offsets: [at, at + 1] }]);
    const last = ["rest", { dtype: "U8", shape: [2_000_000], data_offsets: [300, 2_000_300] }];
    const large = { "1": safetensorsFile(JSON.stringify(Object.fromEntries([...rows, last])), new Uint8Array(2_000_300)) };
    const tree = await sharded.read(indexInput(index, large, small));
    expect((tree.root as TreeDict).entries.size).to.equal(300);
    const error = await refusalOf(() => sharded.read(indexInput(index, { "1": shardOf({ w0: 1 }) }, small)));
    expect(error.details["limit"]).to.equal("pickleValueRatio");
  });

  it("joins trees without losing aliases or cycles", () => {
    const extent = { type: "range", source: 1, offset: 0, storedBytes: 4, encoding: "stored", crc32: null } as const;
    const storage = new StorageRef({ nbytes: 4, pieces: [{ at: 0, nbytes: 4, extent }] });
    const root = new TreeDict("OrderedDict");
    const list = new TreeList("list", [storage, root]);
    root.entries.set("list", list).set("again", list);
    root.attributes = new TreeDict();
    root.attributes.entries.set("storage", storage);
    const copy = rebaseSources(root, { sources: 3, bytes: 0 }, () => undefined) as TreeDict;
    const inner = copy.entries.get("list") as TreeList;
    expect([copy.type, inner === copy.entries.get("again"), inner.elements[1] === copy, inner === list]).to.deep.equal([
      "OrderedDict",
      true,
      true,
      false,
    ]);
    expect(inner.elements[0]).to.equal(copy.attributes?.entries.get("storage"));
    expect((inner.elements[0] as StorageRef).pieces[0]?.extent).to.deep.equal({ ...extent, source: 4 });
  });

  it("moves storages of a tree wherever they are, once each", () => {
    const run = (offset: number): StorageRef => new StorageRef({ nbytes: 4, pieces: offset });
    const ofStorage = (storage: StorageRef): TensorRef =>
      new TensorRef({ dtype: "float32", shape: [1], stride: [1], storageOffset: 0, storage });
    const [shared, keyed, state, scale, sparse] = [run(0), run(4), run(8), run(12), run(16)];
    const inline = new StorageRef({ nbytes: 1, pieces: [{ at: 0, nbytes: 1, extent: { type: "inline", bytes: new Uint8Array(1) } }] });
    const quantisation = { scheme: "per_channel_affine", scale: ofStorage(scale), zeroPoint: 0 };
    const root = new TreeDict();
    root.attributes = new TreeDict("dict", new Map([["root", root]]));
    root.entries
      .set("a", ofStorage(shared))
      .set("b", new TreeList("list", [ofStorage(shared).with({ quantisation }), inline, root]))
      .set(new OpaqueValue("a.Key", [keyed]), new OpaqueValue("a.Value", [], false, state))
      .set("sparse", new SparseRef("coo", [1], new Map([["values", ofStorage(sparse)]])));
    moveStorages(root, { sources: 3, bytes: 100 }, () => undefined);
    const places = [shared, keyed, state, scale, sparse].map(({ pieces }) => pieces[0]?.extent);
    expect(places).to.deep.equal(
      [100, 104, 108, 112, 116].map((offset) => ({ type: "range", source: 3, offset, storedBytes: 4, encoding: "stored", crc32: null })),
    );
    expect(inline.pieces[0]?.extent.type).to.equal("inline");
  });
});
