/** saveSafetensors: the reference's bytes, aliases, strides, and nothing left behind when it fails. */
import { chmod, readdir, readFile, readlink, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DTYPES, type DType, StateDict, Storage, saveSafetensors, Tensor } from "@rankcast/core";
import { compareCodePoints, memorySource, openSafetensors, planSafetensors, safetensors, writeAtomically } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";
import { expectError } from "../../support/expect-error.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";
import { fixtureInput, inputOf, materialise } from "../format/sources.ts";

/** dtypes of whole bytes that safetensors counts as torch does. */
const WHOLE = [...DTYPES.values()]
  .filter(({ safetensors: name, bits }) => name !== null && name !== "F4" && bits % 8 === 0)
  .map(({ name }) => name);

function tensorOf(dtype: DType, shape: readonly number[], seed = 1): Tensor {
  const count = shape.reduce((product, size) => product * size, 1);
  const storage = Storage.allocate((count * (DTYPES.get(dtype)?.bits ?? 8)) / 8);
  storage.bytes().forEach((_, at, bytes) => {
    bytes[at] = (at * 7 + seed * 13) % 251;
  });
  return new Tensor({ dtype, shape, storage });
}

async function readBack(path: string): Promise<StateDict> {
  return materialise(await safetensors.read(inputOf(await readFile(path))));
}

function bytesOfTensor(tensor: Tensor | undefined): number[] {
  const flat = tensor?.contiguous();
  return [...(flat?.storage.bytes(flat.storageOffset * ((DTYPES.get(flat.dtype)?.bits ?? 8) / 8), flat.nbytes) ?? [])];
}

describe("saveSafetensors", () => {
  const directory = temporaryDirectory();
  const target = () => join(directory(), "model.safetensors");

  for (const name of ["written_by_library", "library_mixed"]) {
    it(`writes the bytes of ${name}, whatever the order of the state dict`, async () => {
      const input = fixtureInput(`accepted/safetensors/${name}.safetensors`);
      const tree = await safetensors.read(input);
      const stateDict = new Map([...(await materialise(tree))].reverse());
      const plan = planSafetensors(stateDict, tree.fileMetadata);
      const theirs = Buffer.alloc(input.source.sizeBytes);
      await input.source.readInto(theirs, 0);
      expect(Buffer.from(plan.header).toString()).to.equal(theirs.subarray(0, plan.header.length).toString());
      await saveSafetensors(target(), stateDict, { metadata: tree.fileMetadata });
      if (tree.fileMetadata.size > 0) expect(Buffer.compare(await readFile(target()), theirs)).to.equal(0);
    });
  }

  it("gives every dtype and every view back, row-major", async () => {
    const view = fc.record({
      dtype: fc.constantFrom(...WHOLE),
      sizes: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }),
      permuted: fc.boolean(),
      skipped: fc.integer({ min: 0, max: 2 }),
      expanded: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.dictionary(fc.string({ unit: "grapheme" }), view, { maxKeys: 6 }), async (drafts) => {
        const stateDict = new StateDict();
        for (const [name, { dtype, sizes, permuted, skipped, expanded }] of Object.entries(drafts)) {
          const base = tensorOf(dtype, [skipped + sizes.reduce((product, size) => product * size, 1) * 2]);
          const dense = sizes.map((_, axis) => 2 * sizes.slice(axis + 1).reduce((product, size) => product * Math.max(size, 1), 1));
          const stride = expanded ? dense.map((step, axis) => (axis === 0 ? 0 : step)) : permuted ? [...dense].reverse() : dense;
          const shape = permuted && !expanded ? [...sizes].reverse() : sizes;
          stateDict.set(name, new Tensor({ dtype, shape, stride, storageOffset: skipped, storage: base.storage }));
        }
        const report = await saveSafetensors(target(), stateDict);
        const found = await readBack(target());
        expect([...found.keys()]).to.have.members([...stateDict.keys()]);
        for (const [name, tensor] of stateDict) {
          expect([found.get(name)?.dtype, found.get(name)?.shape]).to.deep.equal([tensor.dtype, tensor.shape]);
          expect(bytesOfTensor(found.get(name))).to.deep.equal(bytesOfTensor(tensor));
        }
        expect(report.bytes).to.equal((await stat(target())).size);
      }),
      { numRuns: 60 },
    );
  });

  it("records one view under two names, and copies what only overlaps", async () => {
    const weight = tensorOf("float32", [2, 3]);
    const same = new Tensor({ dtype: "float32", shape: [2, 3], stride: [3, 1], storage: weight.storage });
    const transposed = new Tensor({ dtype: "float32", shape: [3, 2], stride: [1, 3], storage: weight.storage });
    const row = new Tensor({ dtype: "float32", shape: [3], storageOffset: 3, storage: weight.storage });
    const bits = new Tensor({ dtype: "int32", shape: [2, 3], storage: weight.storage });
    const stateDict = new Map([
      ["lm_head", weight],
      ["embed", same],
      ["t", transposed],
      ["row", row],
      ["bits", bits],
      ["apart", tensorOf("float32", [2, 3])],
    ]);
    const report = await saveSafetensors(target(), stateDict, { metadata: { epoch: "3" } });
    expect(report.aliases).to.deep.equal([["lm_head", "embed"]]);
    expect(report.untied).to.deep.equal([["bits", "embed", "t", "row"]]);
    const file = await openSafetensors(inputOf(await readFile(target())));
    expect([...file.metadata]).to.deep.equal([
      ["format", "pt"],
      ["epoch", "3"],
      ["lm_head", "embed"],
    ]);
    const found = await readBack(target());
    expect(found.get("lm_head")?.storage).to.equal(found.get("embed")?.storage);
    expect(bytesOfTensor(found.get("t"))).to.deep.equal(bytesOfTensor(transposed));
    expect(bytesOfTensor(found.get("row"))).to.deep.equal(bytesOfTensor(row));
  });

  it("keeps a shared tensor named format, which readers would take for a field", async () => {
    const weight = tensorOf("int8", [2]);
    const report = await saveSafetensors(
      target(),
      new Map([
        ["a", weight],
        ["format", weight],
      ]),
    );
    expect(report.aliases).to.deep.equal([]);
    expect([...(await readBack(target())).keys()]).to.have.members(["a", "format"]);
  });

  it("applies lazy conjugation and negation", async () => {
    const values = Tensor.from(Float32Array.of(1, 2, 3, 4), [2], { dtype: "complex64" });
    const lazy = new Tensor({ dtype: "complex64", shape: [2], storage: values.storage, conj: true });
    await saveSafetensors(target(), new Map([["c", lazy]]));
    expect([...((await readBack(target())).get("c")?.data ?? [])]).to.deep.equal([1, -2, 3, -4]);
  });

  it("writes packed values and shared memory", async () => {
    const pairs = tensorOf("float4_e2m1fn_x2", [2, 3]);
    const sixes = new Tensor({ dtype: "float6_e2m3", shape: [4], storage: new Storage(new SharedArrayBuffer(3), 0, 3) });
    await saveSafetensors(
      target(),
      new Map([
        ["p", pairs],
        ["s", sixes],
      ]),
    );
    const { table } = await openSafetensors(inputOf(await readFile(target())));
    expect([...table.names.keys()].map((name, row) => [name, table.dtype(row).name, table.shape(row)])).to.deep.equal([
      ["s", "F6_E2M3", [4]],
      ["p", "F4", [2, 6]],
    ]);
  });

  it("pads the header to 8 bytes and sorts names by code point", () => {
    for (const name of ["", "a", "ab", "abc", "é", "\u{1f600}"])
      expect(planSafetensors(new Map([[name, tensorOf("uint8", [1])]]), new Map()).header.length % 8).to.equal(0);
    expect(["\u{1f600}", "\ufffd", "a", ""].sort(compareCodePoints)).to.deep.equal(["", "a", "\ufffd", "\u{1f600}"]);
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (a, b) => {
        expect(Math.sign(compareCodePoints(a, b))).to.equal(Buffer.compare(Buffer.from(a), Buffer.from(b)));
      }),
    );
  });

  it("refuses what the format cannot hold, and leaves no file", async () => {
    const one = tensorOf("uint8", [1]);
    const refusals: [string, Map<string, Tensor>, Record<string, string>?][] = [
      ["RANKCAST_SAVE_DTYPE", new Map([["c", tensorOf("complex128", [1])]])],
      ["RANKCAST_SAVE_DTYPE", new Map([["q", tensorOf("qint8", [1])]])],
      ["RANKCAST_SAVE_DTYPE", new Map([["f", tensorOf("float4_e2m1fn_x2", [])]])],
      ["RANKCAST_SAVE_DTYPE", new Map([["f", new Tensor({ dtype: "float6_e3m2", shape: [3], storage: Storage.allocate(3) })]])],
      ["RANKCAST_SAVE_NAME", new Map([["__metadata__", one]])],
      ["RANKCAST_SAVE_NAME", new Map([["\ud800", one]])],
      ["RANKCAST_SAVE_NAME", new Map([["a", one]]), { k: "\udfff" }],
      [
        "RANKCAST_SAVE_NAME",
        new Map([
          ["a", one],
          ["b", one],
        ]),
        { b: "mine" },
      ],
      ["RANKCAST_TENSOR_META", new Map([["m", new Tensor({ dtype: "uint8", shape: [1], storage: new Storage(null, 0, 1) })]])],
    ];
    for (const [code, stateDict, metadata] of refusals)
      await expectError(code, saveSafetensors(target(), stateDict, metadata ? { metadata } : {}));
    expect(await readdir(directory())).to.deep.equal([]);
  });

  it("says which values beside the tensors it left out", async () => {
    const stateDict = new StateDict([["w", tensorOf("uint8", [1])]]);
    stateDict.extraState.set("layer._extra_state", { anything: 1 });
    expect((await saveSafetensors(target(), stateDict)).omitted).to.deep.equal(["layer._extra_state"]);
  });

  it("leaves the old file and no other one when it is cancelled or fails half-way", async () => {
    await writeFile(target(), "old");
    const stateDict = new Map(["a", "b", "c"].map((name) => [name, tensorOf("uint8", [3 * 2 ** 20], name.charCodeAt(0))] as const));
    const controller = new AbortController();
    const cancelled = saveSafetensors(target(), stateDict, {
      signal: controller.signal,
      onProgress: ({ doneBytes, totalBytes }) => {
        expect(totalBytes).to.equal(9 * 2 ** 20);
        if (doneBytes === 6 * 2 ** 20) controller.abort(new Error("enough"));
      },
    });
    expect(await cancelled.then(String, String)).to.equal("Error: enough");
    expect(await saveSafetensors(target(), stateDict, { signal: AbortSignal.abort(new Error("never")) }).then(String, String)).to.equal(
      "Error: never",
    );
    const failing = writeAtomically(target(), async (sink) => {
      await sink.write(Buffer.from("new"));
      throw new Error("half-way");
    });
    expect(await failing.then(String, String)).to.equal("Error: half-way");
    expect(await readFile(target(), "utf8")).to.equal("old");
    expect(await readdir(directory())).to.deep.equal(["model.safetensors"]);
  });

  it("keeps permission bits, and replaces a link instead of the file behind it", async () => {
    const stateDict = new Map([["w", tensorOf("uint8", [1])]]);
    await writeFile(target(), "old");
    await chmod(target(), 0o640);
    const link = join(directory(), "link.safetensors");
    await symlink("model.safetensors", link);
    await saveSafetensors(link, stateDict);
    expect(await readlink(link).catch(() => "a file")).to.equal("a file");
    expect(await readFile(target(), "utf8")).to.equal("old");
    await saveSafetensors(target(), stateDict);
    expect((await stat(target())).mode & 0o777).to.equal(0o640);
    expect(Buffer.compare(await readFile(target()), await readFile(link))).to.equal(0);
  });

  it("names the path and the system's reason when it cannot write", async () => {
    const missing = await expectError("RANKCAST_SAVE_REFUSED", saveSafetensors(join(directory(), "none", "x"), new Map()));
    expect(missing.details["systemError"]).to.equal("ENOENT");
    const onto = await expectError("RANKCAST_SAVE_REFUSED", saveSafetensors(directory(), new Map()));
    expect(onto.details).to.deep.equal({ file: directory(), systemError: "EISDIR" });
    expect(await readdir(directory())).to.deep.equal([]);
  });

  it("saves what was read from several thousand small tensors in few system calls", async () => {
    const stateDict = new Map(Array.from({ length: 5000 }, (_, index) => [`t${index}`, tensorOf("float32", [3], index)] as const));
    await saveSafetensors(target(), stateDict);
    const bytes = await readFile(target());
    const tree = await safetensors.read({ ...inputOf(bytes), source: memorySource(bytes) });
    const found = await materialise(tree);
    for (const [name, tensor] of stateDict) expect(bytesOfTensor(found.get(name))).to.deep.equal(bytesOfTensor(tensor));
  });
});
