/** Parts of segments as nodes read them: any part, in any order, is what a load puts there. */

import { compileLimits } from "@rankcast/core";
import { type ByteSource, NO_EXTRA_STATE } from "@rankcast/core/internal";
import { planLoad, planStripes, type StateDictManifest } from "@rankcast/core/runtime";
import { expect } from "chai";
import { randomBytes } from "../../support/random-bytes.js";

const FILE = randomBytes(40_000, 3);
const limits = compileLimits({ windowBytes: 16_384 });

function sourceOf(version: Partial<ByteSource["version"]> = { etag: '"one"' }): ByteSource {
  return {
    name: "model",
    sizeBytes: FILE.length,
    version: { sizeBytes: FILE.length, ...version },
    readInto: async (target, offset) => void target.set(FILE.subarray(offset, offset + target.length)),
    close: async () => undefined,
  };
}

type Piece = StateDictManifest["storages"][number]["pieces"][number];

function range(at: number, nbytes: number, offset: number, crc32: number | null = 1): Piece {
  return { at, nbytes, extent: { type: "range", source: 0, offset, storedBytes: nbytes, encoding: "stored", crc32 } };
}

function manifestOf(pieces: readonly (readonly Piece[])[], version: Partial<ByteSource["version"]> = { etag: '"one"' }): StateDictManifest {
  const storages = pieces.map((each) => ({
    nbytes: each.reduce((sum, { nbytes }) => sum + nbytes, 0),
    pieces: each,
    swapBytes: 1 as const,
    savedDevice: "cpu",
  }));
  return {
    format: "safetensors",
    tensors: storages.map(({ nbytes }, index) => ({
      ...{ name: `t${index}`, dtype: "uint8" as const, shape: [nbytes], stride: [1], storageOffset: 0, storage: index },
    })),
    storages,
    sources: [{ name: "model", version: { sizeBytes: FILE.length, ...version } }],
    ...{
      metadataModules: [],
      nontensor: [],
      extraState: NO_EXTRA_STATE,
      opaque: [],
      fileMetadata: [],
      checksums: "present" as const,
      warnings: [],
      selected: "",
    },
  };
}

const INLINE: Piece = { at: 100, nbytes: 30, extent: { type: "inline", bytes: randomBytes(30, 9) } };
const PIECES = [
  [range(0, 5000, 20_001)],
  [range(0, 100, 7), INLINE],
  [range(0, 9001, 3000)],
  [range(0, 1, 39_999)],
  [range(0, 4000, 12_345)],
];

describe("planStripes", () => {
  const striped = (manifest: StateDictManifest, source = sourceOf()) =>
    planStripes({ manifest, plan: planLoad(manifest, limits), sources: [source], limits });

  it("reads any part of any segment; what lies between storages is zero", async () => {
    const manifest = manifestOf(PIECES);
    const { placements, segments } = planLoad(manifest, limits);
    const truth = segments.map(({ nbytes }) => new Uint8Array(nbytes));
    placements.forEach((placement, index) => {
      for (const { at, nbytes, extent } of PIECES[index] ?? []) {
        const bytes = extent.type === "inline" ? extent.bytes : FILE.subarray(extent.offset, extent.offset + nbytes);
        if (placement) truth[placement.segment]?.set(bytes, placement.byteOffset + at);
      }
    });
    const stripes = striped(manifest);
    expect(segments.length).to.be.above(1);
    expect(stripes?.segmentBytes).to.deep.equal(truth.map(({ length }) => length));
    for (const [segment, bytes] of truth.entries()) {
      for (const length of [63, 1000, bytes.length]) {
        for (let offset = 0; offset < bytes.length; offset += length) {
          const into = new Uint8Array(Math.min(length, bytes.length - offset)).fill(0xaa);
          await stripes?.read(segment, offset, into, new AbortController().signal);
          expect(Buffer.compare(into, bytes.subarray(offset, offset + into.length)), `${segment} ${offset} ${length}`).to.equal(0);
        }
      }
    }
  });

  it("has the digest of version and layout", () => {
    const digest = striped(manifestOf(PIECES))?.digest;
    expect(striped(manifestOf(PIECES))?.digest).to.equal(digest);
    expect(striped(manifestOf(PIECES, { etag: '"two"' }))?.digest).not.to.equal(digest);
    expect(striped(manifestOf(PIECES.slice(1)))?.digest).not.to.equal(digest);
  });

  it("is null for what cannot be read in parts", () => {
    const [first] = PIECES[0] ?? [];
    const deflated =
      first && first.extent.type === "range" ? { ...first, extent: { ...first.extent, encoding: "deflate" as const } } : INLINE;
    const rectangle = { ...range(0, 100, 0), rectangle: { shape: [100], offsets: [0], sizes: [100], itemBytes: 1 } };
    const swapped = manifestOf(PIECES);
    expect(striped(manifestOf([[deflated]]))).to.equal(null);
    expect(striped(manifestOf([[rectangle]]))).to.equal(null);
    expect(striped({ ...swapped, storages: swapped.storages.map((each) => ({ ...each, swapBytes: 4 })) })).to.equal(null);
    expect(striped(manifestOf([]))).to.equal(null);
    expect(striped(manifestOf(PIECES), sourceOf({}))).to.equal(null);
    expect(striped(manifestOf(PIECES), sourceOf({ etag: 'W/"one"' }))).to.equal(null);
    expect(striped(manifestOf(PIECES), { ...sourceOf(), file: { path: "/model", immutable: true } })).to.equal(null);
  });
});
