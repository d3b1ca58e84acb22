/** `.metadata` of distributed checkpoints, as values: what every version of torch writes, and what none does. */
import { compileLimits, FormatError } from "@rankcast/core";
import { type DcpMetadata, OpaqueValue, parseDcpMetadata, readPickle, TreeDict, TreeList, type TreeValue } from "@rankcast/core/internal";
import { expect } from "chai";

const MODULE = "torch.distributed.checkpoint.metadata";

function dict(entries: Readonly<Record<string, TreeValue>>): TreeDict {
  const made = new TreeDict();
  for (const [key, value] of Object.entries(entries)) made.entries.set(key, value);
  return made;
}

const instance = (name: string, fields: TreeValue): OpaqueValue =>
  new OpaqueValue(name.includes(".") ? name : `${MODULE}.${name}`, [], false, fields);
const size = (...numbers: (number | bigint)[]): TreeList => new TreeList("Size", numbers);
const chunk = (offsets: TreeValue, sizes: TreeValue): OpaqueValue => instance("ChunkStorageMetadata", dict({ offsets, sizes }));
const info = (fields: Readonly<Record<string, TreeValue>> = {}): OpaqueValue =>
  instance(
    "torch.distributed.checkpoint.filesystem._StorageInfo",
    dict({ relative_path: "__0_0.distcp", offset: 0, length: 10, ...fields }),
  );
const index = (fqn: TreeValue, offset: TreeValue = null): OpaqueValue => instance("MetadataIndex", dict({ fqn, offset, index: 0 }));
/** A dtype arrives as the global it is named by; a pickle of just that global gives one. */
const float32 = readPickle(Buffer.from("\x80\x02ctorch\nfloat32\n.", "latin1"), {
  limits: compileLimits(),
  where: { file: "", baseOffset: 0 },
}).value;
const properties = instance("TensorProperties", new TreeList("tuple", [float32, null, false, null, false]));

interface Draft {
  readonly tensors?: Readonly<Record<string, TreeValue>>;
  readonly storage?: readonly (readonly [OpaqueValue, TreeValue])[];
  readonly more?: Readonly<Record<string, TreeValue>>;
}

const one = (fields: Readonly<Record<string, TreeValue>> = {}): OpaqueValue =>
  instance(
    "TensorStorageMetadata",
    dict({ properties, size: size(2), chunks: new TreeList("list", [chunk(size(0), size(2))]), ...fields }),
  );

function metadata({ tensors = { w: one() }, storage = [[index("w", size(0)), info()]], more = {} }: Draft = {}): OpaqueValue {
  const storageData = new TreeDict();
  for (const [key, value] of storage) storageData.entries.set(key, value);
  return instance("Metadata", dict({ state_dict_metadata: dict(tensors), storage_data: storageData, ...more }));
}

const parse = (root: TreeValue, limits: Record<string, number> = {}): DcpMetadata =>
  parseDcpMetadata(root, "dir/.metadata", compileLimits(limits));

function codeOf(root: TreeValue, limits: Record<string, number> = {}): string {
  try {
    parse(root, limits);
  } catch (error) {
    if (error instanceof FormatError) return error.code;
    throw error;
  }
  return "accepted";
}

describe("metadata of distributed checkpoints", () => {
  it("gives items, places and paths", () => {
    const found = parse(
      metadata({
        tensors: { w: one(), step: instance("BytesStorageMetadata", null) },
        storage: [
          [index("w", size(0)), info({ offset: 5 })],
          [index("step"), info({ relative_path: "sub/__1_0.distcp", transform_descriptors: new TreeList("list") })],
        ],
        more: {
          planner_data: dict({ w: new TreeList("tuple", ["model", 0, "w"]), step: new TreeList("tuple", ["step"]) }),
          version: "1.0.0",
        },
      }),
    );
    expect(found.items).to.deep.equal([
      {
        type: "tensor",
        name: "w",
        dtype: "float32",
        shape: [2],
        parts: [{ offsets: [0], sizes: [2], slice: { path: "__0_0.distcp", offset: 5, length: 10 } }],
      },
      { type: "value", name: "step", slice: { path: "sub/__1_0.distcp", offset: 0, length: 10 } },
    ]);
    expect([...found.paths]).to.deep.equal([
      ["w", ["model", 0, "w"]],
      ["step", ["step"]],
    ]);
    expect(found.version).to.equal("1.0.0");
  });

  it("reads what older versions write: properties as fields, no planner data, items without offset", () => {
    const old = one({ properties: instance("TensorProperties", dict({ dtype: float32 })) });
    const found = parse(
      metadata({ tensors: { w: old }, storage: [[index("w"), info({ transform_descriptors: null })]], more: { planner_data: null } }),
    );
    const [item] = found.items;
    expect(item?.type === "tensor" && [item.dtype, item.parts.length]).to.deep.equal(["float32", 1]);
    expect([found.paths.size, found.version]).to.deep.equal([0, null]);
    const [unknown] = parse(metadata({ tensors: { w: one({ properties: null }) } })).items;
    expect(unknown?.type === "tensor" && unknown.dtype).to.equal(null);
  });

  it("leaves paths out that hold something else than texts and positions", () => {
    for (const path of [new TreeList("tuple"), new TreeList("tuple", ["a", null]), new TreeList("tuple", [-1]), "w"])
      expect(parse(metadata({ more: { planner_data: dict({ w: path }) } })).paths.size).to.equal(0);
    const odd = new TreeDict();
    odd.entries.set(3, new TreeList("tuple", ["a"]));
    expect(parse(metadata({ more: { planner_data: odd } })).paths.size).to.equal(0);
  });

  for (const [why, root, code] of [
    ["a plain dict", dict({}), "RANKCAST_DCP_METADATA"],
    ["another class", instance("NotMetadata", dict({})), "RANKCAST_DCP_METADATA"],
    ["no fields", instance("Metadata", null), "RANKCAST_DCP_METADATA"],
    ["fields that are no dict", instance("Metadata", "x"), "RANKCAST_DCP_METADATA"],
    ["an entry of another class", metadata({ tensors: { w: instance("Other", dict({})) } }), "RANKCAST_DCP_METADATA"],
    ["chunks that are no list", metadata({ tensors: { w: one({ chunks: null }) } }), "RANKCAST_DCP_METADATA"],
    ["a chunk of another class", metadata({ tensors: { w: one({ chunks: new TreeList("list", [size(0)]) }) } }), "RANKCAST_DCP_METADATA"],
    ["a negative size", metadata({ tensors: { w: one({ size: size(-2) }) } }), "RANKCAST_DCP_METADATA"],
    ["a size above 2^53", metadata({ tensors: { w: one({ size: size(2n ** 60n) }) } }), "RANKCAST_DCP_METADATA"],
    ["a size that is text", metadata({ tensors: { w: one({ size: "2" }) } }), "RANKCAST_DCP_METADATA"],
    ["no item for a chunk", metadata({ storage: [] }), "RANKCAST_DCP_METADATA"],
    ["an item at another place", metadata({ storage: [[index("w", size(1)), info()]] }), "RANKCAST_DCP_METADATA"],
    [
      "two items at one place",
      metadata({
        storage: [
          [index("w", size(0)), info()],
          [index("w", size(0)), info()],
        ],
      }),
      "RANKCAST_DCP_METADATA",
    ],
    ["a key without name", metadata({ storage: [[index(7), info()]] }), "RANKCAST_DCP_METADATA"],
    ["a key of another class", metadata({ storage: [[instance("Other", dict({})), info()]] }), "RANKCAST_DCP_METADATA"],
    ["an item of another class", metadata({ storage: [[index("w", size(0)), instance("Other", dict({}))]] }), "RANKCAST_DCP_METADATA"],
    ["an item without length", metadata({ storage: [[index("w", size(0)), info({ length: null })]] }), "RANKCAST_DCP_METADATA"],
    ["a negative offset", metadata({ storage: [[index("w", size(0)), info({ offset: -1 })]] }), "RANKCAST_DCP_METADATA"],
    ["a path outside", metadata({ storage: [[index("w", size(0)), info({ relative_path: "../x" })]] }), "RANKCAST_UNSAFE_PATH"],
    [
      "a transformed item",
      metadata({ storage: [[index("w", size(0)), info({ transform_descriptors: new TreeList("list", ["zstd"]) })]] }),
      "RANKCAST_UNSUPPORTED",
    ],
    [
      "a transformation that is no list",
      metadata({ storage: [[index("w", size(0)), info({ transform_descriptors: "zstd" })]] }),
      "RANKCAST_UNSUPPORTED",
    ],
  ] as const) {
    it(`refuses ${why}`, () => {
      expect(codeOf(root)).to.equal(code);
    });
  }

  it("bounds tensors, chunks, axes and paths", () => {
    const two = metadata({
      tensors: { a: one(), b: one() },
      storage: [
        [index("a", size(0)), info()],
        [index("b", size(0)), info()],
      ],
    });
    for (const limit of ["tensors", "dcpChunks"])
      expect([codeOf(two, { [limit]: 1 }), codeOf(two, { [limit]: 2 })]).to.deep.equal(["RANKCAST_LIMIT", "accepted"]);
    const square = metadata({ tensors: { w: one({ size: size(1, 1), chunks: new TreeList("list") }) } });
    expect([codeOf(square, { tensorRank: 1 }), codeOf(square, { tensorRank: 2 })]).to.deep.equal(["RANKCAST_LIMIT", "accepted"]);
    const deep = metadata({ more: { planner_data: dict({ w: new TreeList("tuple", ["a", "b"]) }) } });
    expect([codeOf(deep, { treeDepth: 1 }), codeOf(deep, { treeDepth: 2 })]).to.deep.equal(["RANKCAST_LIMIT", "accepted"]);
  });
});
