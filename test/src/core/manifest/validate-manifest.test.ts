import { compileLimits, DEFAULT_LIMITS } from "@rankcast/core";
import {
  NO_EXTRA_STATE,
  type StateDictManifest,
  type StorageDescriptor,
  StorageRef,
  type TensorDescriptor,
  validateManifest,
} from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";

const stored = (nbytes: number, offset = 0) =>
  ({ type: "range", source: 0, offset, storedBytes: nbytes, encoding: "stored", crc32: null }) as const;
const plain: StorageDescriptor = { nbytes: 48, pieces: [{ at: 0, nbytes: 48, extent: stored(48) }], swapBytes: 1, savedDevice: "cpu" };
const matrix: TensorDescriptor = { name: "w", dtype: "float32", shape: [3, 4], stride: [4, 1], storageOffset: 0, storage: 0 };

function manifest(tensor: Partial<TensorDescriptor>, storage: Partial<StorageDescriptor> = {}, sizeBytes = 1000): StateDictManifest {
  return {
    format: "torch-zip",
    tensors: [{ ...matrix, ...tensor }],
    storages: [{ ...plain, ...storage }],
    sources: [{ name: "model.pt", version: { sizeBytes } }],
    metadataModules: [],
    nontensor: [],
    extraState: NO_EXTRA_STATE,
    opaque: [],
    fileMetadata: [],
    checksums: "absent",
    warnings: [],
    selected: "",
  };
}

const accept = (...parts: Parameters<typeof manifest>) => validateManifest(manifest(...parts), DEFAULT_LIMITS);
const refuse = (code: string, ...parts: Parameters<typeof manifest>) => expectError(code, () => accept(...parts));
const HUGE = 2 ** 53 - 1;

describe("validateManifest", () => {
  it("accepts views, overlaps and empty tensors", () => {
    accept({});
    accept({ shape: [], stride: [] });
    accept({ shape: [4, 3], stride: [1, 4] });
    accept({ shape: [1000, 12], stride: [0, 1] });
    accept({ shape: [0, 2 ** 40], stride: [2 ** 40, 1], storageOffset: 10_000 });
    accept({ shape: [1, 1], stride: [HUGE, HUGE], storageOffset: 11 });
    accept({ dtype: "float6_e2m3", shape: [64], stride: [1] });
    accept({ shape: [2 ** 50], stride: [1] }, { meta: true, pieces: [], nbytes: 2 ** 52 });
  });

  it("refuses tensors that leave their storage", async () => {
    const error = await refuse("RANKCAST_TENSOR_BOUNDS", { storageOffset: 1 });
    expect(error.details).to.deep.include({ key: "w", file: "model.pt", expected: 48, found: 52 });
    await refuse("RANKCAST_TENSOR_BOUNDS", { shape: [4, 4] });
    await refuse("RANKCAST_TENSOR_BOUNDS", { stride: [5, 1] });
    await refuse("RANKCAST_TENSOR_BOUNDS", { dtype: "float64" });
    await refuse("RANKCAST_TENSOR_BOUNDS", { dtype: "float6_e2m3", shape: [65], stride: [1] });
    await refuse("RANKCAST_TENSOR_BOUNDS", { shape: [2, 2], stride: [HUGE - 20, 1] });
  });

  it("judges storages that make their pieces as it judges the pieces they make", async () => {
    const record = { name: "m/data/0", offset: 0, storedBytes: 48, nbytes: 48, encoding: "stored", crc32: null } as const;
    const verdict = async (described: StorageDescriptor): Promise<unknown> => {
      const whole = { ...manifest({}), storages: [described] };
      try {
        validateManifest(whole, DEFAULT_LIMITS);
        return "accepted";
      } catch (error) {
        return (error as Error).message;
      }
    };
    const places: ConstructorParameters<typeof StorageRef>[0]["pieces"][] = [0, 952, 953, -1, 0.5, HUGE, Number.NaN, record];
    for (const offset of [952, 953, -4, 0.25, HUGE]) places.push({ ...record, offset });
    for (const crc32 of [0, 2 ** 32 - 1, 2 ** 32, -1, 0.5]) places.push({ ...record, crc32 });
    places.push({ ...record, storedBytes: 47 }, { ...record, nbytes: 47 }, { ...record, nbytes: 0 }, { ...record, encoding: "deflate" });
    const verdicts = new Set<unknown>();
    for (const place of places) {
      for (const parts of [{}, { swapBytes: 4 }, { meta: true }, { nbytes: 0 }, { nbytes: 48.5 }] as const) {
        const made = new StorageRef({ nbytes: 48, pieces: place, ...parts });
        const { nbytes, pieces, swapBytes, savedDevice, meta } = made;
        const judged = await verdict(made);
        expect(judged, JSON.stringify([place, parts])).to.equal(await verdict({ nbytes, pieces, swapBytes, savedDevice, meta }));
        verdicts.add(judged);
      }
    }
    expect(verdicts.size).to.be.above(10);
  });

  it("judges each of many tensors of one layout", async () => {
    const { shape, stride } = matrix;
    const whole = (last: Partial<TensorDescriptor>) => ({
      ...manifest({}),
      tensors: [{ ...matrix }, { ...matrix, shape, stride }, { ...matrix, shape, stride, ...last }],
    });
    validateManifest(whole({}), DEFAULT_LIMITS);
    for (const storageOffset of [1, HUGE]) {
      await expectError(storageOffset === 1 ? "RANKCAST_TENSOR_BOUNDS" : "RANKCAST_TENSOR_LAYOUT", () =>
        validateManifest(whole({ storageOffset }), DEFAULT_LIMITS),
      );
    }
    await expectError("RANKCAST_TENSOR_LAYOUT", () => validateManifest(whole({ storageOffset: -1 }), DEFAULT_LIMITS));
    await expectError("RANKCAST_TENSOR_BOUNDS", () => validateManifest(whole({ dtype: "float64" }), DEFAULT_LIMITS));
    await expectError("RANKCAST_TENSOR_BOUNDS", () => validateManifest(whole({ stride: [5, 1] }), DEFAULT_LIMITS));
  });

  it("refuses numbers that are no layout", async () => {
    for (const bad of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
      await refuse("RANKCAST_TENSOR_LAYOUT", { storageOffset: bad });
      await refuse("RANKCAST_TENSOR_LAYOUT", { shape: [bad, 4] });
      await refuse("RANKCAST_TENSOR_LAYOUT", { stride: [bad, 1] });
    }
    await refuse("RANKCAST_TENSOR_LAYOUT", { stride: [1] });
    await refuse("RANKCAST_TENSOR_LAYOUT", { storage: 1 });
    await refuse("RANKCAST_TENSOR_LAYOUT", { dtype: "float7" as "float32" });
    await refuse("RANKCAST_TENSOR_LAYOUT", { shape: [2 ** 27, 2 ** 27], stride: [0, 0] });
    await refuse("RANKCAST_TENSOR_LAYOUT", { shape: [2 ** 30, 2 ** 30, 0], stride: [0, 0, 1] });
    await refuse("RANKCAST_TENSOR_LAYOUT", { shape: [2, 2], stride: [HUGE, HUGE] });
  });

  it("bounds rank and what repeated elements would need", async () => {
    const ones = new Array<number>(65).fill(1);
    expect((await refuse("RANKCAST_LIMIT", { shape: ones, stride: ones })).details["limit"]).to.equal("tensorRank");
    expect((await refuse("RANKCAST_LIMIT", { shape: [2 ** 20, 2 ** 20], stride: [0, 0] })).details["limit"]).to.equal("materialisedRatio");
    const many = manifest({ shape: [2 ** 24], stride: [0] });
    validateManifest(many, DEFAULT_LIMITS);
    const twice = { ...many, tensors: [...many.tensors, ...many.tensors] };
    await expectError("RANKCAST_LIMIT", () => validateManifest(twice, DEFAULT_LIMITS));
    await expectError("RANKCAST_LIMIT", () => validateManifest(twice, compileLimits({ tensors: 1 })));
  });

  it("refuses storages that are not filled exactly", async () => {
    const piece = (at: number, nbytes: number, offset = 0) => ({ at, nbytes, extent: stored(nbytes, offset) });
    accept({}, { pieces: [piece(24, 24, 100), piece(0, 24)] });
    accept({}, { pieces: [piece(0, 48), piece(0, 0)] });
    await refuse("RANKCAST_STORAGE_LAYOUT", {}, { pieces: [] });
    await refuse("RANKCAST_STORAGE_LAYOUT", {}, { pieces: [piece(0, 24), piece(28, 20)] });
    await refuse("RANKCAST_STORAGE_LAYOUT", {}, { pieces: [piece(0, 24), piece(20, 24)] });
    await refuse("RANKCAST_STORAGE_LAYOUT", {}, { pieces: [piece(0, 52)] });
    await refuse("RANKCAST_STORAGE_LAYOUT", {}, { pieces: [{ at: 0, nbytes: 48, extent: stored(40) }] });
    await refuse("RANKCAST_STORAGE_LAYOUT", {}, { pieces: [{ at: 0, nbytes: 48, extent: { type: "inline", bytes: new Uint8Array(47) } }] });
    await refuse("RANKCAST_STORAGE_LAYOUT", {}, { pieces: [{ at: 0, nbytes: 48, extent: { ...stored(48), source: 1 } }] });
    await refuse("RANKCAST_STORAGE_LAYOUT", {}, { swapBytes: 3 as 4 });
    await refuse("RANKCAST_STORAGE_LAYOUT", { shape: [11], stride: [1] }, { nbytes: 45, pieces: [piece(0, 45)], swapBytes: 4 });
    await refuse("RANKCAST_STORAGE_LAYOUT", {}, { meta: true });
  });

  it("refuses pieces behind the end of their file and inflation beyond belief", async () => {
    const error = await refuse("RANKCAST_TRUNCATED", {}, {}, 40);
    expect(error.details).to.deep.include({ expected: 48, found: 40 });
    const deflate = { ...stored(1), encoding: "deflate", storedBytes: 1 } as const;
    accept({}, { pieces: [{ at: 0, nbytes: 48, extent: deflate }] });
    const large = { nbytes: 2 ** 25, pieces: [{ at: 0, nbytes: 2 ** 25, extent: deflate }] };
    expect((await refuse("RANKCAST_LIMIT", {}, large)).details["limit"]).to.equal("inflateRatio");
  });

  it("refuses many storages over the same bytes", async () => {
    const MIB = 2 ** 20;
    const storage: StorageDescriptor = { ...plain, nbytes: MIB, pieces: [{ at: 0, nbytes: MIB, extent: stored(MIB) }] };
    const one = manifest({}, storage, MIB);
    validateManifest({ ...one, storages: new Array<StorageDescriptor>(64).fill(storage) }, DEFAULT_LIMITS);
    await expectError("RANKCAST_LIMIT", () =>
      validateManifest({ ...one, storages: new Array<StorageDescriptor>(65).fill(storage) }, DEFAULT_LIMITS),
    );
  });

  it("checks rectangles", async () => {
    const box = (offsets: number[], sizes: number[], shape = [3, 4]) => {
      const nbytes = 4 * sizes.reduce((product, size) => product * size, 1);
      return { at: 0, nbytes, extent: stored(nbytes), rectangle: { shape, offsets, sizes, itemBytes: 4 } };
    };
    accept({}, { pieces: [box([0, 0], [2, 4]), box([2, 0], [1, 4])] });
    accept({}, { pieces: [box([0, 0], [2, 3]), box([0, 3], [3, 1]), box([2, 0], [1, 3])] });
    await refuse("RANKCAST_STORAGE_LAYOUT", {}, { pieces: [box([0, 0], [2, 4])] });
    await refuse("RANKCAST_STORAGE_LAYOUT", {}, { pieces: [box([0, 0], [2, 4]), box([1, 0], [1, 4])] });
    await refuse("RANKCAST_STORAGE_LAYOUT", {}, { pieces: [box([0, 0], [2, 4]), box([3, 0], [1, 4])] });
    await refuse("RANKCAST_STORAGE_LAYOUT", {}, { pieces: [box([0, 0], [2, 4]), box([2, 0], [1, 4], [3, 5])] });
    await refuse("RANKCAST_STORAGE_LAYOUT", {}, { pieces: [box([0, 0], [2, 4]), { at: 32, nbytes: 16, extent: stored(16) }] });
  });

  it("takes storages without pieces only when there is no file", () => {
    const published = { ...manifest({}, { pieces: [] }), sources: [] };
    validateManifest(published, DEFAULT_LIMITS);
  });
});
