import { DEFAULT_LIMITS } from "@rankcast/core";
import { NO_EXTRA_STATE, planLoad, type StateDictManifest, type StorageDescriptor } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";

const range = (offset: number, nbytes: number, extra: object = {}): StorageDescriptor => ({
  nbytes,
  pieces: [{ at: 0, nbytes, extent: { type: "range", source: 0, offset, storedBytes: nbytes, encoding: "stored", crc32: null } }],
  swapBytes: 1,
  savedDevice: "cpu",
  ...extra,
});

const manifestOf = (storages: readonly StorageDescriptor[], immutable = true): StateDictManifest => ({
  format: "safetensors",
  tensors: storages.map((storage, index) => ({
    name: `t${index}`,
    dtype: "float32",
    shape: [Math.floor(storage.nbytes / 4)],
    stride: [1],
    storageOffset: 0,
    storage: index,
  })),
  storages,
  sources: [{ name: "f", version: { sizeBytes: 2 ** 40 }, path: "/f", ...(immutable ? { immutable: true as const } : {}) }],
  metadataModules: [],
  nontensor: [],
  extraState: NO_EXTRA_STATE,
  opaque: [],
  fileMetadata: [],
  checksums: "absent",
  warnings: [],
  selected: "",
});

describe("planLoad", () => {
  it("maps storages of an immutable file where they lie", () => {
    const plan = planLoad(manifestOf([range(64, 400), range(512, 400)]), DEFAULT_LIMITS);
    expect(plan.segments).to.deep.equal([{ kind: "file", source: 0, offset: 0, nbytes: 912 }]);
    expect(plan.placements).to.deep.equal([
      { segment: 0, byteOffset: 64, nbytes: 400 },
      { segment: 0, byteOffset: 512, nbytes: 400 },
    ]);
    expect([plan.mappedBytes, plan.copiedBytes]).to.deep.equal([800, 0]);
  });

  it("brings into memory what a mapping could not show", () => {
    const deflated = range(0, 400);
    const piece = deflated.pieces[0];
    const inflate = {
      ...deflated,
      pieces: [{ ...piece, extent: { ...piece?.extent, encoding: "deflate", storedBytes: 10 } }],
    } as StorageDescriptor;
    const storages = [range(65, 400), range(64, 400, { swapBytes: 4 }), inflate, range(64, 400, { pieces: [] })];
    const plan = planLoad(manifestOf(storages), DEFAULT_LIMITS);
    expect(plan.segments.map((segment) => segment.kind)).to.deep.equal(["memory"]);
    expect(plan.placements.map((placement) => placement?.byteOffset)).to.deep.equal([0, 448, 896, 1344]);
    expect([plan.mappedBytes, plan.copiedBytes]).to.deep.equal([0, 1600]);
  });

  it("copies a file that may be rewritten in place: a truncated mapping would kill the process", () => {
    expect(planLoad(manifestOf([range(64, 400)], false), DEFAULT_LIMITS).segments).to.deep.equal([{ kind: "memory", nbytes: 400 }]);
  });

  it("gives meta storages no place", () => {
    expect(planLoad(manifestOf([range(0, 8, { meta: true, pieces: [] })]), DEFAULT_LIMITS).placements).to.deep.equal([null]);
  });

  it("refuses a storage that no view of Node 20 can show", () => {
    expect(() => planLoad(manifestOf([range(64, 2 ** 32)]), DEFAULT_LIMITS))
      .to.throw()
      .with.property("code", "RANKCAST_STORAGE_TOO_LARGE");
  });

  it("property: every storage lies inside its segment, aligned, and no two of one segment overlap", () => {
    const storage = fc.record({ offset: fc.nat({ max: 2 ** 33 }), nbytes: fc.nat({ max: 2 ** 20 }), swap: fc.boolean() });
    fc.assert(
      fc.property(
        fc.uniqueArray(storage, { maxLength: 30, selector: ({ offset }) => offset >> 21 }),
        fc.integer({ min: 2 ** 20, max: 2 ** 28 }),
        (given, windowBytes) => {
          const manifest = manifestOf(
            given.map(({ offset, nbytes, swap }) => range((offset >> 21) * 2 ** 21, nbytes, swap ? { swapBytes: 4 } : {})),
          );
          const plan = planLoad(manifest, { windowBytes });
          const spans = plan.placements.map((placement, index) => ({ ...placement, index }));
          for (const { segment = -1, byteOffset = 0, nbytes = 0 } of spans) {
            const planned = plan.segments[segment];
            if (!planned || byteOffset % 4 !== 0 || byteOffset + nbytes > planned.nbytes) return false;
            if (planned.kind === "file" && planned.offset % 65_536 !== 0) return false;
          }
          const sorted = spans.sort((a, b) => (a.segment ?? 0) - (b.segment ?? 0) || (a.byteOffset ?? 0) - (b.byteOffset ?? 0));
          return sorted.every((span, at) => {
            const next = sorted[at + 1];
            return !next || next.segment !== span.segment || (next.byteOffset ?? 0) >= (span.byteOffset ?? 0) + (span.nbytes ?? 0);
          });
        },
      ),
    );
  });

  it("plans alike from alike input (L6)", () => {
    const manifest = manifestOf([range(64, 400), range(65, 8), range(512, 400)]);
    expect(planLoad(structuredClone(manifest), DEFAULT_LIMITS)).to.deep.equal(planLoad(manifest, DEFAULT_LIMITS));
  });
});
