import { countingSource, memorySource, newReadStats, StorageRef, type TreeDict, torchLegacy } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { readTree } from "../../support/read-tensors.ts";
import { legacyFile, pickleOf, readFile, TORCH_FORMATS, TWELVE } from "../../support/torch-file.ts";
import { bytesOf, dict, global, int, pickle, storage, tensor, text, tuple } from "../../support/write-pickle.ts";

const read = (parts: Parameters<typeof legacyFile>[0]): Promise<unknown> => readFile(legacyFile(parts));
const view = (key: string, offset: number, numel: number): Uint8Array => tuple(text(key), int(offset), int(numel));

describe("torch-legacy", () => {
  it("reads five pickles and the storages behind them", async () => {
    const { tensors, format, tree } = await readFile(legacyFile());
    expect([format, tensors.map(({ name, shape }) => [name, shape])]).to.deep.equal(["torch-legacy", [["w", [3, 4]]]]);
    expect([tree.checksums, tree.warnings]).to.deep.equal(["absent", []]);
  });

  it("finds storages in the order of the list, not of the pickle", async () => {
    const second = Uint8Array.from(TWELVE, (byte) => byte ^ 1);
    const object = pickle(
      dict([
        [text("a"), tensor({ key: text("9"), view: "N" })],
        [text("b"), tensor({ key: text("10"), view: "N" })],
      ]),
    );
    const { tree, tensors } = await readFile(
      legacyFile({
        object,
        storages: [
          ["10", 12, second],
          ["9", 12, TWELVE],
        ],
      }),
    );
    const plain = await readFile(legacyFile());
    expect(tensors[0]?.sha256).to.equal(plain.tensors[0]?.sha256);
    expect(tensors[1]?.sha256).to.not.equal(plain.tensors[0]?.sha256);
    expect(tree.sources).to.have.length(1);
  });

  it("is known by its magic number, in any protocol", async () => {
    const { legacyMagic } = { legacyMagic: legacyFile().subarray(0, 15) };
    const head = (bytes: Uint8Array): unknown => torchLegacy.matches({ head: bytes } as Parameters<typeof torchLegacy.matches>[0]);
    expect(head(legacyMagic)).to.equal(true);
    expect(head(bytesOf("\x80\x04\x95\x0d\0\0\0\0\0\0\0", legacyMagic.subarray(2)))).to.equal(true);
    expect(head(legacyMagic.subarray(0, 12))).to.equal(false);
    expect(head(bytesOf(legacyMagic.subarray(0, 13), "\x51", "."))).to.equal(false);
    expect(head(pickle("}"))).to.equal(false);
  });

  it("refuses another protocol, no sys_info, and another magic number inside", async () => {
    await expectError("RANKCAST_LEGACY_PROTOCOL", read({ protocol: "\x80\x02M\xea\x03." }));
    await expectError("RANKCAST_LEGACY_PROTOCOL", read({ protocol: "\x80\x02N." }));
    await expectError("RANKCAST_PICKLE_TARGET", read({ system: pickle("]") }));
  });

  it("refuses counts that disagree with the pickle, and says what that means", async () => {
    for (const count of [2 ** 40, -1, 11, 13, 0, -4883207186230854459n]) {
      const error = await expectError("RANKCAST_LEGACY_COUNT", read({ storages: [["0", count, TWELVE]] }));
      expect([error.class, error.message]).to.satisfy(
        ([kind, message]: string[]) => kind === "integrity" && message?.includes("written by several ranks"),
      );
    }
  });

  it("refuses a list of keys that is not that of the object", async () => {
    const keys: readonly Uint8Array[] = [
      pickle("](", text("8"), "e"),
      pickle("]"),
      pickle("](", text("0"), text("0"), "e"),
      pickle("](", int(0), "e"),
      pickle("K\x05"),
      pickle("(", text("0"), "t"),
    ];
    for (const each of keys) expect((await expectError("RANKCAST_LEGACY_KEYS", read({ keys: each }))).class).to.equal("pickle");
  });

  it("refuses a file that ends early, wherever it is cut", async () => {
    const whole = legacyFile();
    for (let length = 15; length < whole.length; length += 1) {
      const error = await readFile(whole.subarray(0, length)).then(
        () => null,
        (cause: { class?: string }) => cause,
      );
      expect(error?.class, `cut at ${length}`).to.equal("truncated");
    }
  });

  it("gives views of a storage the storage they are of", async () => {
    const object = pickle(
      dict([
        [text("all"), tensor({ view: "N" })],
        [text("part"), tensor({ view: view("1", 4, 6), size: tuple(int(2)), stride: tuple(int(3)), offset: int(1) })],
      ]),
    );
    const { aliases, manifest } = await readFile(legacyFile({ object }));
    expect(aliases).to.deep.equal([["all", "part"]]);
    expect(manifest.tensors[1]).to.include({ storageOffset: 5 });
  });

  it("holds a bare view as a storage of its own", async () => {
    const tree = await readTree(memorySource(legacyFile({ object: pickleOf(storage({ view: view("1", 4, 6) })) })), TORCH_FORMATS);
    const value = (tree.root as TreeDict).entries.get("w") as StorageRef;
    expect(value).to.be.instanceOf(StorageRef);
    const extent = value.pieces[0]?.extent;
    if (extent?.type !== "range") throw new Error("not in the file");
    const whole = legacyFile({ object: pickleOf(storage({ view: view("1", 4, 6) })) });
    expect(Buffer.compare(whole.subarray(extent.offset, extent.offset + 24), TWELVE.subarray(16, 40))).to.equal(0);
  });

  it("refuses views outside their storage, and what is no view", async () => {
    const object = (parts: Uint8Array): Uint8Array => pickleOf(tensor({ view: parts, size: tuple(int(1)), stride: tuple(int(1)) }));
    for (const [offset, numel] of [
      [10, 4],
      [13, 0],
      [-2, 4],
      [0, 13],
      [0, -1],
    ] as const) {
      await expectError("RANKCAST_STORAGE_SIZE", read({ object: object(view("1", offset, numel)) }));
    }
    for (const wrong of [int(3), text("x"), tuple(int(1)), tuple(int(1), int(2), int(3))]) {
      await expectError("RANKCAST_PICKLE_PERSISTENT_ID", read({ object: object(wrong) }));
    }
    await expectError("RANKCAST_TENSOR_LAYOUT", read({ object: pickleOf(tensor({ view: view("1", 4, 6) })) }));
    await expectError("RANKCAST_PICKLE_PERSISTENT_ID", read({ object: pickleOf(tensor()) }));
  });

  it("refuses one key with two types", async () => {
    const pair = tuple(tensor({ view: "N" }), tensor({ view: "N", type: global("torch", "IntStorage") }));
    await expectError("RANKCAST_STORAGE_CONFLICT", read({ object: pickleOf(pair) }));
  });

  it("takes the size of the first mention of a key", async () => {
    const later = tensor({ view: "N", numel: int(1000), size: tuple(int(12)), stride: tuple(int(1)) });
    expect((await readFile(legacyFile({ object: pickleOf(tuple(tensor({ view: "N" }), later)) }))).tensors).to.have.length(2);
  });

  it("reads classes of pickled models and forgets their source", async () => {
    const named = bytesOf(tuple(text("module"), global("acme.nets", "Net"), text("/home/somebody/net.py"), text("class Net: secret")), "Q");
    const object = pickleOf(bytesOf(named, ")\x81}", text("x"), tensor({ view: "N" }), "sb"));
    const tree = await readTree(memorySource(legacyFile({ object })), TORCH_FORMATS);
    const value = (tree.root as TreeDict).entries.get("w");
    expect(value).to.have.property("global", "acme.nets.Net");
    expect(JSON.stringify(tree.root, (_, each: unknown) => (each instanceof Map ? [...each] : each))).to.not.include("somebody");
    await expectError("RANKCAST_PICKLE_PERSISTENT_ID", read({ object: pickleOf(bytesOf(tuple(text("module"), text("x")), "Q")) }));
  });

  it("never shows source text in an error", async () => {
    const named = bytesOf(tuple(text("module"), int(1), text("/home/somebody/net.py"), text("secret")), "Q");
    const error = await expectError("RANKCAST_PICKLE_PERSISTENT_ID", read({ object: pickleOf(named) }));
    expect(JSON.stringify([error.message, error.details])).to.not.match(/somebody|secret/);
  });

  it("warns about bytes behind the last storage", async () => {
    const { tree } = await readFile(bytesOf(legacyFile(), "tail"));
    expect(tree.warnings).to.deep.equal([{ code: "trailing-bytes", message: "4 bytes behind the last storage were ignored" }]);
  });

  it("reads the pickles and the counts, not the payloads", async () => {
    const payload = new Uint8Array(4_000_000);
    const keys = Array.from({ length: 8 }, (_, at) => String(at));
    const parts = { numel: int(1_000_000), size: tuple(int(1_000_000)), stride: tuple(int(1)), view: "N" };
    const object = pickle("](", ...keys.map((key) => tensor({ ...parts, key: text(key) })), "e");
    const stats = newReadStats();
    const bytes = legacyFile({ object, storages: keys.map((key) => [key, 1_000_000, payload]) });
    await readTree(countingSource(memorySource(bytes), stats), TORCH_FORMATS);
    expect(stats.bytesRead).to.be.lessThan(300_000);
    expect(stats.requests).to.be.lessThan(16);
  });
});
