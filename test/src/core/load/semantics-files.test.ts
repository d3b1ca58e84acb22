/** What torch.load and vis4d's loader do with local files, row by row, and what we do instead. */
import { existsSync } from "node:fs";
import { copyFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  CheckpointLoader,
  digestTensor,
  explainLoad,
  FormatError,
  inspectCheckpoint,
  loadCheckpoint,
  loadModelCheckpoint,
  Module,
  Parameter,
  StateDict,
  type Tensor,
} from "@rankcast/core";
import { readEnvironment, resolveWeights } from "@rankcast/core/internal";
import { expect } from "chai";
import { buildZip } from "../../support/build-zip.ts";
import { expectError } from "../../support/expect-error.ts";
import { EXPECTED, FIXTURES, fixtureBytes } from "../../support/fixtures.ts";
import { OriginServer } from "../../support/origin-server.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { pickleOf, TWELVE, torchZipFile } from "../../support/torch-file.ts";
import { bytesOf, call, dict, int, pickle, tensor, text, tuple, u32 } from "../../support/write-pickle.ts";

const accepted = (path: string): string => `${FIXTURES}accepted/${path}`;
const refused = (path: string): string => `${FIXTURES}refused/${path}`;

/** Bytes of every tensor, as `expected.json` lists them: from the root, by position. */
async function digestsOf(weights: string, immutable = false): Promise<(string | null | undefined)[]> {
  const { tensors } = await inspectCheckpoint(weights, { digest: true, immutable });
  return tensors.map(({ sha256 }) => sha256);
}

const truth = (path: string): (string | null)[] => (EXPECTED.get(`accepted/${path}`)?.tensors ?? []).map(({ sha256 }) => sha256);

describe("local files, as torch.load knows them", () => {
  const directory = temporaryDirectory();
  const store = async (name: string, bytes: Uint8Array): Promise<string> => {
    await writeFile(join(directory(), name), bytes);
    return join(directory(), name);
  };

  it("C1: ~ and file:// lead to the file; what is not there can not be found, in vis4d's words", async () => {
    await copyFile(accepted("torch-zip/minimal.pt"), join(directory(), "m.pt"));
    const environment = readEnvironment({ HOME: directory() });
    for (const weights of ["~/m.pt", `file://${directory()}/m.pt`]) {
      const source = await resolveWeights(weights, { environment });
      if (source instanceof StateDict) throw new Error("expected files");
      expect(source.entry?.name).to.equal(join(directory(), "m.pt"));
      await source.close();
    }
    const missing = await expectError("RANKCAST_NOT_FOUND", loadCheckpoint(join(directory(), "none.pt")));
    expect(missing.message).to.equal(`${join(directory(), "none.pt")} can not be found.`);
  });

  describe("C2: nothing in a file is executed", () => {
    const marker = (): string => join(directory(), "ran");
    /** `{"w": tensor, "x": os.system("touch …")}`, as a `__reduce__` of an attacker writes it. */
    const attack = (): Uint8Array => {
      const run = call("os", "system", text(`touch ${marker()}`));
      return torchZipFile({
        pickle: pickle(
          dict([
            [text("w"), tensor()],
            [text("x"), run],
          ]),
        ),
      });
    };

    it("C2: from a path a call becomes an opaque value that says what it wanted", async () => {
      const { opaque } = await inspectCheckpoint(await store("m.pt", attack()));
      expect(opaque.map(({ path, global, dangerous }) => [path, global, dangerous])).to.deep.equal([["x", "os.system", true]]);
      const { stateDict } = await loadCheckpoint(join(directory(), "m.pt"));
      expect([[...stateDict.keys()], existsSync(marker())]).to.deep.equal([["w"], false]);
    });

    it("C2: from an http URL the same file is as harmless", async () => {
      const server = await OriginServer.start();
      const checkpoint = await loadCheckpoint(server.serve("/m.pt", attack()), { cacheDir: join(directory(), "cache") });
      await server.close();
      expect([[...checkpoint.stateDict.keys()], existsSync(marker())]).to.deep.equal([["w"], false]);
    });
  });

  it("C3: a zip is known by its first four bytes, not by a directory at its end", async () => {
    const archive = torchZipFile({ pickle: pickleOf(tensor()) });
    expect((await inspectCheckpoint(await store("model.bin", archive))).format).to.equal("torch-zip");
    await expectError("RANKCAST_UNKNOWN_FORMAT", inspectCheckpoint(await store("late.pt", bytesOf("JUNKJUNK", archive))));
  });

  it("C4: of a TorchScript archive the state dict is taken; its code stays text", async () => {
    expect(await digestsOf(accepted("torch-zip/torchscript.pt"))).to.deep.equal(truth("torch-zip/torchscript.pt"));
    const { opaque } = await inspectCheckpoint(accepted("torch-zip/torchscript.pt"));
    expect(opaque.map(({ global }) => global)).to.deep.equal(["__torch__.torch.nn.modules.module.Module"]);
  });

  it("C5: tar comes before the magic number, and both old formats are read data-only", async () => {
    for (const [path, format] of [
      ["torch-tar/basic.pth", "torch-tar"],
      ["torch-legacy/minimal.pt", "torch-legacy"],
    ] as const) {
      expect((await inspectCheckpoint(accepted(path))).format).to.equal(format);
      expect(await digestsOf(accepted(path))).to.deep.equal(truth(path));
    }
    const protocol = await expectError("RANKCAST_LEGACY_PROTOCOL", loadCheckpoint(refused("unsupported/legacy_protocol_1002.pt")));
    expect(protocol.message).to.contain("protocol version 1002, expected 1001");
    await expectError("RANKCAST_UNKNOWN_FORMAT", loadCheckpoint(refused("unknown-format/legacy_magic_plus_one.pt")));
  });

  it("C6: safetensors is known by its content under any name, and takes every kind of map location", async () => {
    const bytes = fixtureBytes("accepted/safetensors/basic.safetensors");
    const named = await store("model.pt", bytes);
    for (const mapLocation of ["cpu", { "cuda:0": "cpu", "*": "cpu" }, () => null]) {
      expect((await loadCheckpoint(named, { mapLocation })).format).to.equal("safetensors");
    }
    const zip = await store("really-a-zip.safetensors", torchZipFile({ pickle: pickleOf(tensor()) }));
    expect((await loadCheckpoint(zip)).format).to.equal("torch-zip");
  });

  describe("C7: a file that is no checkpoint is one kind of error that says what the file is", () => {
    const rows: readonly (readonly [path: string, kind: string, words: RegExp])[] = [
      ["truncated/empty_file.pt", "truncated", /an empty file$/],
      ["unknown-format/html_404.pth", "unknown-format", /an HTML page/],
      ["unknown-format/git_lfs_pointer.bin", "unknown-format", /a Git LFS pointer/],
      ["unknown-format/json_error.safetensors", "unknown-format", /a JSON error message/],
      ["unknown-format/junk_before_zip.pt", "unknown-format", /begins with the bytes 4a 55 4e 4b/],
      ["truncated/zip_half.pt", "truncated", /the last whole record is "archive\/byteorder"/],
      ["truncated/legacy_payload_short.pt", "truncated", /needs 56 bytes here, 46 are left/],
      ["unknown-format/ordinary_zip.zip", "zip", /record "readme\.txt" .* not in a folder/],
      ["unknown-format/tar_ordinary.pth.tar", "unsupported", /member "readme\.txt"/],
    ];
    for (const [path, kind, words] of rows) {
      it(`C7: ${path}`, async () => {
        const error: unknown = await loadCheckpoint(refused(path)).catch((caught: unknown) => caught);
        if (!(error instanceof FormatError)) throw error;
        expect(error.class).to.equal(kind);
        expect(error.message).to.match(words);
        expect(error.details).to.include({ file: refused(path) });
        // torch's answer to most of these is to advise switching its safety off.
        expect(`${error.message} ${error.remedy}`).not.to.match(/weights_only/);
      });
    }
  });

  it("C8: one flipped bit of a tensor is found before anything is loaded", async () => {
    expect((await expectError("RANKCAST_CHECKSUM", loadCheckpoint(refused("integrity/crc_data_0.pt")))).class).to.equal("integrity");
  });

  it("C9: a stored checksum of 0 means that none was computed", async () => {
    for (const path of ["torch-zip/no_crc.pt", "torch-zip/crc_zero_payload.pt"]) {
      expect(await digestsOf(accepted(path)), path).to.deep.equal(truth(path));
    }
    expect((await inspectCheckpoint(accepted("torch-zip/no_crc.pt"), { digest: true })).integrity).to.equal("absent");
    const empty = { name: "m/data/0", bytes: new Uint8Array(0) };
    const none = tensor({ numel: int(0), size: tuple(int(0)), stride: tuple(int(1)) });
    const zip = buildZip([{ name: "m/data.pkl", bytes: pickleOf(none) }, empty, { name: "m/version", bytes: Buffer.from("3") }]);
    expect((await inspectCheckpoint(await store("empty.pt", zip), { digest: true })).integrity).to.equal("verified");
  });

  it("C10: torch's entry names under any folder; little, big and no byte order, and no other", async () => {
    const extra = [".format_version", ".storage_alignment", ".data/serialization_id"].map((name) => ({
      name: `my model/${name}`,
      bytes: Buffer.from("1"),
    }));
    const swapped = Buffer.from(TWELVE).swap32();
    const little = await store("little.pt", torchZipFile({ pickle: pickleOf(tensor()), folder: "my model", extra }));
    const big = await store("big.pt", torchZipFile({ pickle: pickleOf(tensor()), byteorder: "big", storages: { 0: swapped } }));
    const absent = await store("absent.pt", torchZipFile({ pickle: pickleOf(tensor()), byteorder: null }));
    const [one, ...others] = await Promise.all([little, big, absent].map((path) => digestsOf(path)));
    expect(one).to.have.length(1);
    for (const other of others) expect(other).to.deep.equal(one);
    const middle = await store("middle.pt", torchZipFile({ pickle: pickleOf(tensor()), byteorder: "middle" }));
    const error = await expectError("RANKCAST_TORCH_BYTE_ORDER", loadCheckpoint(middle));
    expect(error.message).to.contain('expected "little" or "big", found "middle"');
  });

  it("C11: of a large storage only the viewed bytes are brought; two names of one tensor are one storage", async () => {
    const elements = 100_000;
    const view = tensor({ numel: int(elements), size: tuple(int(2)), stride: tuple(int(1)) });
    const both = pickle(
      dict([
        [text("a"), view],
        [text("b"), view],
      ]),
    );
    const storages = { 0: new Uint8Array(Float32Array.from({ length: elements }, (_, at) => at).buffer) };
    const path = await store("view.pt", torchZipFile({ pickle: both, storages }));
    const { report } = await explainLoad(path);
    expect(report).to.include({ tensors: 2, storages: 1 });
    expect(report.memoryPerNodeBytes).to.be.within(8, 64);
    const { stateDict } = await loadCheckpoint(path);
    expect(Array.from(stateDict.get("a")?.data ?? [], Number)).to.deep.equal([0, 1]);
    expect(stateDict.get("a")?.storage).to.equal(stateDict.get("b")?.storage);
  });

  describe("C12: a file that does not change is used through a map, whatever its format", () => {
    for (const path of [
      "torch-zip/state_dict_t213.pt",
      "torch-zip/rezipped_deflate.pt",
      "torch-legacy/minimal.pt",
      "torch-tar/basic.pth",
      "safetensors/basic.safetensors",
      "npz/stored.npz",
      "pickle/state_dict_p4_t213.pkl",
    ]) {
      it(`C12: ${path}`, async () => {
        const { report } = await explainLoad(accepted(path), { immutable: true });
        // What the kernel can not show as it lies (deflated, unaligned) is brought into one shared segment instead; nothing is left over.
        expect(report.segments).not.to.deep.equal([]);
        expect(report.mappedBytes + report.copiedBytes).to.equal(report.memoryPerNodeBytes);
        const digests = EXPECTED.get(`accepted/${path}`)?.tensors ?? [];
        const { stateDict } = await loadCheckpoint(accepted(path), { immutable: true });
        expect(stateDict.size).to.equal(digests.length);
        expect([...stateDict.values()].map((each) => digestTensor(each)).sort()).to.deep.equal(digests.map(({ sha256 }) => sha256).sort());
      });
    }
  });

  it("C13: byte strings are UTF-8, and a storage may be named by byte strings", async () => {
    const bytes = (value: string): Uint8Array => {
      const utf8 = Buffer.from(value, "utf8");
      return bytesOf("T", u32(utf8.length), utf8);
    };
    const named = dict([[bytes("größe.weight"), tensor({ location: bytes("cuda:0"), key: bytes("0") })]]);
    const { tensors } = await inspectCheckpoint(await store("py2.pt", torchZipFile({ pickle: pickle(named) })));
    expect(tensors.map(({ name, savedDevice }) => [name, savedDevice])).to.deep.equal([["größe.weight", "cuda:0"]]);
  });

  it("C14: plain pickles of tensors and arrays are read, of protocol 4 too", async () => {
    for (const path of ["pickle/state_dict_p4_t213.pkl", "pickle/numpy_p4_t113.pkl", "pickle/state_dict_p5_t213.pkl"]) {
      expect((await inspectCheckpoint(accepted(path))).format).to.equal("pickle");
      expect(await digestsOf(accepted(path)), path).to.deep.equal(truth(path));
    }
  });

  it("B11, B12: the part that subtree names, or that a scheme stands for, holds its own values; the tree stays whole", async () => {
    const vector = (offset: number): Uint8Array => tensor({ offset: int(offset), size: tuple(int(2)), stride: tuple(int(1)) });
    const names = ["head.w", "backbone.w", "backbone_2.w", "backbone.v"];
    const saved = dict([[text("state_dict"), dict(names.map((name, at) => [text(name), vector(2 * at)] as const))]]);
    const path = await store("parts.pt", torchZipFile({ pickle: pickle(saved) }));
    const registered = CheckpointLoader.registerScheme("part://", async (_, context) => {
      const source = await context.resolve(path);
      if (source instanceof StateDict) throw new Error("expected files");
      return { ...source, subtree: "backbone" };
    });
    for (const load of [() => loadCheckpoint(path, { subtree: "backbone" }), () => loadCheckpoint("part://x")]) {
      const { stateDict, tree } = await load();
      expect([...stateDict].map(([key, { data }]) => [key, [...(data as Float32Array)]])).to.deep.equal([
        ["w", [2, 3]],
        ["v", [6, 7]],
      ]);
      const whole = (tree as ReadonlyMap<string, ReadonlyMap<string, Tensor>>).get("state_dict");
      expect([...(whole?.keys() ?? [])]).to.deep.equal(names);
      expect([...((whole?.get("head.w")?.data ?? []) as Float32Array)]).to.deep.equal([0, 1]);
    }
    registered();
    await expectError("RANKCAST_SELECT_SUBTREE", loadCheckpoint(path, { subtree: "back" }));
  });

  it("F17: extra state that is a plain value comes from the file to the module", async () => {
    const saved = dict([
      [text("w"), tensor()],
      [text("inner._extra_state"), text("calibrated")],
    ]);
    const path = await store("extra.pt", torchZipFile({ pickle: pickle(saved) }));
    const model = new Module();
    model.registerParameter("w", Parameter.meta("float32", null));
    const inner = new Module();
    let state: unknown = "fresh";
    inner.getExtraState = () => state;
    inner.setExtraState = (next) => {
      state = next;
    };
    model.registerModule("inner", inner);
    const report = await loadModelCheckpoint(model, path, { strict: true });
    expect([state, report.replica.missing, report.replica.unexpected]).to.deep.equal(["calibrated", [], []]);
  });
});
