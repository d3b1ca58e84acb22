import { compileLimits, DEFAULT_LIMITS } from "@rankcast/core";
import {
  decodeManifest,
  encodeManifest,
  layoutDigest,
  manifestDigest,
  NO_EXTRA_STATE,
  rebuildExtraState,
  type StateDictManifest,
  StorageRef,
  TensorRef,
} from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";
import { expectError } from "../../support/expect-error.ts";

const limits = DEFAULT_LIMITS;
const extent = { type: "range", source: 0, offset: 64, storedBytes: 16, encoding: "stored", crc32: 77, record: "archive/data/0" } as const;
const sample: StateDictManifest = {
  format: "torch-zip",
  tensors: [
    {
      name: "__proto__",
      dtype: "float32",
      shape: [2, 2],
      stride: [2, 1],
      storageOffset: 0,
      storage: 0,
      requiresGrad: true,
      origin: "parameter",
    },
    {
      name: "lone \ud800 surrogate",
      dtype: "complex64",
      shape: [1],
      stride: [5],
      storageOffset: 1,
      storage: 0,
      conj: true,
      neg: true,
      origin: "numpy",
    },
    { name: "meta", dtype: "bfloat16", shape: [2 ** 40], stride: [1], storageOffset: 0, storage: 2 },
    { name: "tiled", dtype: "uint8", shape: [1, 4], stride: [4, 1], storageOffset: 0, storage: 3 },
  ],
  storages: [
    { nbytes: 16, pieces: [{ at: 0, nbytes: 16, extent }], swapBytes: 4, savedDevice: "cuda:0" },
    {
      nbytes: 3,
      pieces: [{ at: 0, nbytes: 3, extent: { type: "inline", bytes: new Uint8Array([1, 2, 3]) } }],
      swapBytes: 1,
      savedDevice: "cpu",
    },
    { nbytes: 2 ** 41, pieces: [], swapBytes: 1, savedDevice: "meta", meta: true },
    {
      nbytes: 4,
      pieces: [0, 2].map((at) => ({
        at: 0,
        nbytes: 2,
        extent: { type: "range", source: 1, offset: at, storedBytes: 2, encoding: "deflate", crc32: null } as const,
        rectangle: { shape: [1, 4], offsets: [0, at], sizes: [1, 2], itemBytes: 1 },
      })),
      swapBytes: 1,
      savedDevice: "cpu",
    },
  ],
  sources: [
    { name: "model.pt", version: { sizeBytes: 1000, mtimeMs: 1.25, inode: 7 }, path: "/tmp/model.pt", immutable: true },
    { name: "https://host/x", version: { sizeBytes: 2 ** 40, etag: '"e"', sha256: "ab" } },
  ],
  metadataModules: [
    ["", { version: 1 }],
    [
      "bn",
      Object.fromEntries([
        ["version", 2],
        ["__proto__", "x"],
      ]),
    ],
  ],
  nontensor: [
    ["epoch", 3],
    ["lr", 0.1],
    ["nan", Number.NaN],
    ["none", null],
    ["on", true],
    ["text", "\udfff"],
  ],
  extraState: {
    entries: [
      ["fp8._extra_state", [0]],
      ["plain._extra_state", "text \udfff"],
    ],
    rows: [
      { type: "dict", label: "dict", numbers: [], parts: ["scale", [1], [4], [2], "self", [0]], bytes: null },
      { type: "tensor", label: "", numbers: [3], parts: [], bytes: null },
      { type: "list", label: "tuple", numbers: [], parts: [1, Number.NaN, true, null, [3], [5]], bytes: null },
      { type: "bytes", label: "", numbers: [], parts: [], bytes: Buffer.from([1, 2]) },
      { type: "tuple", label: "", numbers: [], parts: [1, "a"], bytes: null },
      { type: "opaque", label: "acme.Recipe", numbers: [0, 1, 0], parts: [[6], "argument", "key", [8]], bytes: null },
      { type: "integer", label: "-123456789012345678901234567890", numbers: [], parts: [], bytes: null },
      { type: "storage", label: "cuda:0", numbers: [64], parts: [], bytes: null },
      { type: "view", label: "float32", numbers: [1, 2, 3, 3, 1], parts: [[7]], bytes: null },
      { type: "complex", label: "", numbers: [Number.NEGATIVE_INFINITY, 2], parts: [], bytes: null },
      { type: "sparse", label: "coo", numbers: [1, 4], parts: ["values", [1]], bytes: null },
    ],
  },
  opaque: [{ path: "cfg", global: "acme.Config", dangerous: false }],
  fileMetadata: [["format", "pt"]],
  checksums: "partial",
  warnings: [{ code: "trailing-bytes", message: "3 bytes" }],
  selected: "state_dict",
};

const TENSOR = new TensorRef({
  dtype: "float32",
  shape: [1],
  stride: [1],
  storageOffset: 0,
  storage: new StorageRef({ nbytes: 4, pieces: [] }),
});

describe("encodeManifest and decodeManifest", () => {
  it("give back what went in", () => {
    expect(decodeManifest(encodeManifest(sample), limits)).to.deep.equal(sample);
  });

  it("keep inline bytes apart from the message", () => {
    const message = encodeManifest(sample);
    const [piece] = decodeManifest(message, limits).storages[1]?.pieces ?? [];
    message.fill(0);
    expect(piece?.extent).to.deep.equal({ type: "inline", bytes: Buffer.from([1, 2, 3]) });
  });

  it("validate what comes from a peer as what comes from a file", async () => {
    const [tensor] = sample.tensors;
    const lie = { ...sample, tensors: tensor ? [{ ...tensor, storageOffset: 100 }] : [] };
    await expectError("RANKCAST_TENSOR_BOUNDS", () => decodeManifest(encodeManifest(lie), limits));
    await expectError("RANKCAST_LIMIT", () => decodeManifest(encodeManifest(sample), compileLimits({ manifestBytes: 10 })));
  });

  it("refuse other bytes with a typed error", async () => {
    for (const bytes of [
      [],
      [0xc0],
      [0x91, 2],
      [0xdd, 255, 255, 255, 255],
      [0xdb, 127, 255, 255, 255],
      new Array<number>(20_000).fill(0x91),
    ]) {
      await expectError("RANKCAST_MANIFEST_MALFORMED", () => decodeManifest(Uint8Array.from(bytes), limits));
    }
  });

  it("survive any change of one byte", () => {
    const message = encodeManifest(sample);
    fc.assert(
      fc.property(fc.nat(message.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const spoiled = Uint8Array.from(message);
        spoiled[at] = (spoiled[at] ?? 0) ^ change;
        try {
          const { extraState, tensors } = decodeManifest(spoiled, limits);
          rebuildExtraState(extraState, (index) => (tensors[index] ? TENSOR : undefined));
        } catch (error) {
          expect(error).to.have.property("class").that.is.oneOf(["protocol", "tensor", "limit", "truncated"]);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("layoutDigest and manifestDigest", () => {
  const changed = (change: Partial<StateDictManifest>): StateDictManifest => ({ ...sample, ...change });

  it("agree for equal manifests, decoded ones too", () => {
    const copy = decodeManifest(encodeManifest(sample), limits);
    expect(layoutDigest(copy)).to.equal(layoutDigest(sample));
    expect(manifestDigest(copy)).to.equal(manifestDigest(sample));
    expect(layoutDigest(sample)).to.match(/^[0-9a-f]{64}$/);
  });

  it("tell layouts apart by name, dtype, shape, strides, offset, sharing and size", () => {
    const [first, ...others] = sample.tensors;
    if (!first) throw new Error("no tensor");
    const variants = [
      { name: "x" },
      { dtype: "int32" },
      { shape: [4] },
      { stride: [1, 2] },
      { storageOffset: 1 },
      { storage: 1 },
      { neg: true },
    ] as const;
    const digests = variants.map((variant) => layoutDigest({ ...sample, tensors: [{ ...first, ...variant }, ...others] }));
    const sized = layoutDigest({ ...sample, storages: sample.storages.map((storage) => ({ ...storage, nbytes: storage.nbytes + 1 })) });
    expect(new Set([layoutDigest(sample), sized, ...digests]).size).to.equal(variants.length + 2);
  });

  it("see the same layout whatever the bytes are and wherever they come from", () => {
    const moved = changed({ sources: [], storages: sample.storages.map((storage) => ({ ...storage, pieces: [] })), selected: "model" });
    expect(layoutDigest(moved)).to.equal(layoutDigest(sample));
    expect(manifestDigest(moved)).to.not.equal(manifestDigest(sample));
  });

  it("tell manifests apart by version and place of bytes, not by path", () => {
    const [file, url] = sample.sources;
    if (!file || !url) throw new Error("no source");
    expect(manifestDigest(changed({ sources: [{ ...file, path: "/elsewhere" }, url] }))).to.equal(manifestDigest(sample));
    expect(manifestDigest(changed({ sources: [{ ...file, version: { ...file.version, mtimeMs: 2 } }, url] }))).to.not.equal(
      manifestDigest(sample),
    );
    expect(manifestDigest(changed({ sources: [file, { ...url, version: { ...url.version, etag: "other" } }] }))).to.equal(
      manifestDigest(sample),
    );
    expect(manifestDigest(changed({ sources: [file, { ...url, version: { ...url.version, sha256: "cd" } }] }))).to.not.equal(
      manifestDigest(sample),
    );
    expect(manifestDigest(changed({ nontensor: [] }))).to.not.equal(manifestDigest(sample));
    expect(manifestDigest(changed({ extraState: NO_EXTRA_STATE }))).to.not.equal(manifestDigest(sample));
    const { entries, rows } = sample.extraState;
    const digests = rows.map((row, at) =>
      manifestDigest(changed({ extraState: { entries, rows: rows.with(at, { ...row, parts: [...row.parts, Number.NaN] }) } })),
    );
    expect(new Set([...digests, manifestDigest(sample)]).size).to.equal(rows.length + 1);
  });
});
