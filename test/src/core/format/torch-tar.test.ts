import { countingSource, memorySource, newReadStats, OpaqueValue, StorageRef, type TreeDict } from "@rankcast/core/internal";
import { expect } from "chai";
import { storageRow, type TarParts, tensorRow, torchTarFile } from "../../support/build-tar.ts";
import { expectError } from "../../support/expect-error.ts";
import { readTree } from "../../support/read-tensors.ts";
import { legacyFile, readFile, TORCH_FORMATS } from "../../support/torch-file.ts";
import { bytesOf, dict, global, int, pickle, text, tuple } from "../../support/write-pickle.ts";

const read = (parts: TarParts): ReturnType<typeof readFile> => readFile(torchTarFile(parts));
const refs = (...keys: (string | Uint8Array)[]): Uint8Array => pickle(dict(keys.map((key, at) => [text(`t${at}`), bytesOf(key, "Q")])));
const views = (...rows: Uint8Array[]): Uint8Array => pickle("](", ...rows, "e");

describe("torch-tar", () => {
  it("reads tables of storages and tensors, and the object that names them", async () => {
    const { format, tensors, tree } = await read({});
    const [expected] = (await readFile(legacyFile())).tensors;
    expect([format, tensors]).to.deep.equal(["torch-tar", [{ ...expected, name: "w" }]]);
    expect([tree.checksums, tree.warnings]).to.deep.equal(["absent", []]);
  });

  it("takes keys as ints or as their digits", async () => {
    const object = refs(int(1), text("1"), int(94300979781824));
    const { aliases } = await read({ object, tensors: [tensorRow(), tensorRow({ key: int(94300979781824) })] });
    expect(aliases).to.deep.equal([["t0", "t1", "t2"]]);
  });

  it("reads views of storages, which alias only each other", async () => {
    const parts: TarParts = {
      views: views(tuple(int(20), int(10), int(4), int(8))),
      tensors: [tensorRow(), tensorRow({ key: int(2), storage: int(20), size: [2], stride: [3], offset: 1 })],
      object: refs(int(1), int(2)),
    };
    const { aliases, manifest } = await read(parts);
    expect(aliases).to.deep.equal([]);
    expect(manifest.storages.map(({ nbytes }) => nbytes)).to.deep.equal([48, 32]);
    const direct = await read({ tensors: [tensorRow({ size: [2], stride: [3], offset: 5 })] });
    expect((await read(parts)).tensors[1]?.sha256).to.equal(direct.tensors[0]?.sha256);
  });

  it("holds bare storages and classes of models", async () => {
    const named = bytesOf(tuple(global("acme", "Net"), text("/home/somebody/net.py"), text("source")), "Q)\x81");
    const object = pickle(
      dict([
        [text("s"), "K\x0aQ"],
        [text("m"), named],
      ]),
    );
    const { entries } = (await readTree(memorySource(torchTarFile({ object })), TORCH_FORMATS)).root as TreeDict;
    expect(entries.get("s")).to.be.instanceOf(StorageRef);
    expect(entries.get("m")).to.be.instanceOf(OpaqueValue);
  });

  it("refuses keys that name nothing, twice, or no key", async () => {
    await expectError("RANKCAST_TAR_RECORD", read({ object: refs(int(5)) }));
    await expectError("RANKCAST_TAR_RECORD", read({ tensors: [tensorRow({ storage: int(99) })] }));
    await expectError("RANKCAST_TAR_RECORD", read({ storages: [storageRow(), storageRow()] }));
    await expectError("RANKCAST_TAR_RECORD", read({ tensors: [tensorRow(), tensorRow()] }));
    await expectError("RANKCAST_TAR_RECORD", read({ storages: [storageRow(text("../x"))] }));
    await expectError("RANKCAST_TAR_RECORD", read({ views: views(tuple(int(20), int(99), int(0), int(1))) }));
    await expectError("RANKCAST_TAR_RECORD", read({ views: views(tuple(int(10), int(10), int(0), int(1))) }));
    for (const id of ["N", "]", text("x"), tuple(int(1))]) await expectError("RANKCAST_PICKLE_PERSISTENT_ID", read({ object: refs(id) }));
  });

  it("refuses rows and tables of the wrong shape", async () => {
    for (const wrong of [int(-1), "N", text("1")]) {
      await expectError("RANKCAST_TAR_RECORD", read({ storageCount: wrong }));
      await expectError("RANKCAST_TAR_RECORD", read({ tensorCount: wrong }));
    }
    await expectError("RANKCAST_TAR_RECORD", read({ storages: [pickle(tuple(int(1), int(2)))] }));
    await expectError("RANKCAST_TAR_RECORD", read({ views: pickle("}") }));
    await expectError("RANKCAST_TAR_RECORD", read({ views: views(tuple(int(1))) }));
    await expectError("RANKCAST_PICKLE_TARGET", read({ system: pickle("]") }));
  });

  it("refuses tables that end early, whatever their counts say", async () => {
    for (const count of [int(2), int(2 ** 40)]) {
      expect((await expectError("RANKCAST_PICKLE_TRUNCATED", read({ tensorCount: count }))).class).to.equal("truncated");
    }
    await expectError("RANKCAST_TRUNCATED", read({ storages: [storageRow(int(10), "FloatStorage", 2 ** 40)] }));
    await expectError("RANKCAST_TRUNCATED", read({ storages: [storageRow(int(10), "FloatStorage", -1)] }));
    await expectError("RANKCAST_TRUNCATED", read({ tensors: [tensorRow().subarray(0, 60)] }));
  });

  it("refuses tensors that contradict themselves or their storage", async () => {
    await expectError("RANKCAST_TENSOR_LAYOUT", read({ tensors: [tensorRow({ size: [4, 4] })] }));
    await expectError("RANKCAST_TENSOR_LAYOUT", read({ tensors: [tensorRow({ offset: 1 })] }));
    await expectError("RANKCAST_TENSOR_LAYOUT", read({ tensors: [tensorRow({ size: [-1, 4] })] }));
    await expectError("RANKCAST_TAR_RECORD", read({ tensors: [tensorRow({ rank: -2 })] }));
    await expectError("RANKCAST_LIMIT", read({ tensors: [tensorRow({ rank: 2 ** 30 })] }));
    await expectError("RANKCAST_STORAGE_CONFLICT", read({ tensors: [tensorRow({ type: "IntTensor" })] }));
    await expectError("RANKCAST_TENSOR_TYPE", read({ tensors: [tensorRow({ type: "WeirdTensor" })] }));
    await expectError("RANKCAST_STORAGE_CLASS", read({ storages: [storageRow(int(10), "WeirdStorage")] }));
    await expectError("RANKCAST_STORAGE_SIZE", read({ views: views(tuple(int(20), int(10), int(11), int(2))) }));
  });

  it("reads the tables, not the payloads", async () => {
    const large = new Uint8Array(2_000_000);
    const storages = [1, 2, 3].map((key) => storageRow(int(key), "FloatStorage", 500_000, large));
    const stats = newReadStats();
    await readTree(
      countingSource(memorySource(torchTarFile({ storages, tensors: [tensorRow({ storage: int(2) })] })), stats),
      TORCH_FORMATS,
    );
    expect(stats.bytesRead).to.be.lessThan(400_000);
  });
});
