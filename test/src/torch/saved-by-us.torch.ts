/**
 * What we save, read by torch itself. Runs where Python has torch (`PYTHON`, else python3): `npm run test:torch`.
 * On Debian: apt-get install python3-torch; safetensors files also need `pip install safetensors`.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ComplexValue, type DType, KeyTuple, StateDict, Storage, saveSafetensors, saveTorch, Tensor } from "@rankcast/core";
import { expect } from "chai";
import { temporaryDirectory } from "../support/temporary-directory.js";

const run = promisify(execFile);
const PYTHON = process.env["PYTHON"] ?? "python3";
const SCRIPT = fileURLToPath(new URL("../../torch/describe_saved.py", import.meta.url));

interface Described {
  readonly torch: string;
  readonly rows: readonly {
    readonly name: string;
    readonly dtype?: string;
    readonly shape?: number[];
    readonly stride?: number[];
    readonly offset?: number;
    readonly requiresGrad?: boolean;
    readonly sha256?: string | null;
    readonly storage?: number | null;
    readonly value?: string;
  }[];
  readonly modules: Record<string, Record<string, unknown>>;
}

async function describeSaved(path: string): Promise<Described> {
  const { stdout } = await run(PYTHON, [SCRIPT, path], { maxBuffer: 2 ** 26 });
  return JSON.parse(stdout) as Described;
}

/** Whether a Python statement runs here. */
async function runs(statement: string): Promise<boolean> {
  return run(PYTHON, ["-c", statement], { cwd: tmpdir() }).then(
    () => true,
    () => false,
  );
}

/** torch 1.13 is the oldest that is asked; what it cannot read is skipped, and only there. */
const isOld = (): Promise<boolean> => runs("import torch; assert torch.__version__.startswith('1.')");

function skip(test: Mocha.Context, reason: string): void {
  process.stderr.write(`skipped: ${reason}\n`);
  test.skip();
}

function tensorOf(
  dtype: DType,
  count: number,
  itemBytes: number,
  parts: Partial<{ shape: number[]; stride: number[]; storageOffset: number; conj: boolean; neg: boolean }> = {},
): Tensor {
  const storage = Storage.allocate(count * itemBytes);
  storage.bytes().forEach((_, at, bytes) => {
    bytes[at] = dtype === "bool" ? at % 2 : (at * 37 + count) % 113;
  });
  return new Tensor({ dtype, shape: [count], storage, ...parts });
}

function digest(tensor: Tensor): string {
  const flat = tensor.contiguous();
  const itemBytes = flat.elementCount === 0 ? 1 : flat.nbytes / flat.elementCount;
  return createHash("sha256")
    .update(flat.storage.bytes(flat.storageOffset * itemBytes, flat.nbytes))
    .digest("hex");
}

const COMMON: readonly (readonly [DType, number])[] = [
  ["float64", 8],
  ["float32", 4],
  ["float16", 2],
  ["bfloat16", 2],
  ["int64", 8],
  ["int32", 4],
  ["int16", 2],
  ["int8", 1],
  ["uint8", 1],
  ["bool", 1],
  ["complex128", 16],
  ["complex64", 8],
];

/** Types that have no storage class of their own. */
const UNTYPED: readonly (readonly [DType, number])[] = [
  ["uint16", 2],
  ["uint32", 4],
  ["uint64", 8],
  ["complex32", 4],
  ["float8_e4m3fn", 1],
  ["float8_e5m2", 1],
  ["float8_e4m3fnuz", 1],
  ["float8_e5m2fnuz", 1],
  ["float8_e8m0fnu", 1],
];

describe("saved by us, read by torch", () => {
  const directory = temporaryDirectory();

  it("gives every tensor, view, alias, flag and module version back", async () => {
    const stateDict = new StateDict();
    for (const [dtype, itemBytes] of COMMON) stateDict.set(`dtype.${dtype}`, tensorOf(dtype, 6, itemBytes));
    const base = tensorOf("float32", 24, 4);
    const view = (parts: { shape: number[]; stride: number[]; storageOffset?: number }) =>
      new Tensor({ dtype: "float32", storage: base.storage, ...parts });
    stateDict
      .set("view.base", base)
      .set("view.transposed", view({ shape: [4, 6], stride: [1, 4] }))
      .set("view.slice", view({ shape: [2, 3], stride: [6, 2], storageOffset: 5 }));
    stateDict
      .set("view.expanded", view({ shape: [3, 2], stride: [0, 1] }))
      .set("scalar", tensorOf("float32", 1, 4, { shape: [] }))
      .set("empty", tensorOf("float32", 0, 4));
    stateDict.set("grad", new Tensor({ dtype: "float32", shape: [1], storage: Storage.allocate(4), requiresGrad: true }));
    stateDict.metadata.set("", { version: 1 }).set("bn", { version: 2 });
    stateDict.extraState.set("extra", {
      text: "é",
      list: [1, -1, 2 ** 40, -(2 ** 31) - 1, 2n ** 70n, true, null],
      inner: new Map([[3, "three"]]),
    });
    const path = join(directory(), "model.pt");
    await saveTorch(path, stateDict);
    const found = await describeSaved(path);
    const rows = new Map(found.rows.map((row) => [row.name, row]));
    for (const [name, tensor] of stateDict) {
      const { dtype, shape, stride, storageOffset, requiresGrad } = tensor;
      const row = rows.get(name);
      expect([row?.dtype, row?.shape, row?.stride, row?.offset, row?.requiresGrad, row?.sha256], name).to.deep.equal([
        dtype,
        shape,
        stride,
        storageOffset,
        requiresGrad,
        digest(tensor),
      ]);
    }
    for (const name of ["view.transposed", "view.slice", "view.expanded"])
      expect(rows.get(name)?.storage).to.equal(rows.get("view.base")?.storage);
    expect(found.modules).to.deep.equal({ "": { version: 1 }, bn: { version: 2 } });
    expect(rows.get("extra")?.value).to.equal(
      "{'text': 'é', 'list': [1, -1, 1099511627776, -2147483649, 1180591620717411303424, True, None], 'inner': {3: 'three'}}",
    );
  }).timeout(120_000);

  it("reads extra state of all kinds: bytes, complex numbers, sets, tuples as keys, cycles", async function () {
    const stateDict = new StateDict();
    const cyclic: unknown[] = [1];
    cyclic.push(cyclic);
    stateDict.extraState
      .set("bytes", [Uint8Array.of(0, 127, 128, 255), new Uint8Array(0)])
      .set("complex", new ComplexValue(1, -2))
      .set("set", new Set([7]))
      .set(
        "keys",
        new Map<unknown, number>([
          [new KeyTuple(["a", new KeyTuple([1, 2])]), 1],
          [null, 2],
        ]),
      )
      .set("cyclic", cyclic);
    const path = join(directory(), "values.pt");
    await saveTorch(path, stateDict);
    if (await isOld()) return skip(this, "torch 1's restricted reader knows neither complex numbers nor sets");
    const found = await describeSaved(path);
    expect(Object.fromEntries(found.rows.map(({ name, value }) => [name, value]))).to.deep.equal({
      bytes: String.raw`[b'\x00\x7f\x80\xff', b'']`,
      complex: "(1-2j)",
      set: "{7}",
      keys: "{('a', (1, 2)): 1, None: 2}",
      cyclic: "[1, [...]]",
    });
  }).timeout(120_000);

  it("reads lazy conjugation, negation and floats", async function () {
    const stateDict = new StateDict([
      ["conj", tensorOf("complex64", 2, 8, { conj: true })],
      ["neg", tensorOf("float32", 2, 4, { neg: true })],
    ]);
    stateDict.extraState.set("float", 0.5);
    const path = join(directory(), "lazy.pt");
    await saveTorch(path, stateDict);
    if (await isOld()) return skip(this, "torch 1 saves lazy bits in no way, and its restricted reader knows no floats");
    const found = await describeSaved(path);
    expect(found.rows.slice(0, 2).map(({ sha256 }) => sha256)).to.deep.equal([...stateDict.values()].map(digest));
    expect(found.rows[2]?.value).to.equal("0.5");
  }).timeout(120_000);

  it("reads what only an untyped storage can hold", async function () {
    const stateDict = new StateDict();
    for (const [dtype, itemBytes] of UNTYPED) stateDict.set(dtype, tensorOf(dtype, 4, itemBytes));
    const path = join(directory(), "untyped.pt");
    await saveTorch(path, stateDict);
    if (await isOld()) return skip(this, "torch 1 has neither these dtypes nor _rebuild_tensor_v3");
    const found = await describeSaved(path);
    for (const row of found.rows) expect([row.dtype, row.sha256]).to.deep.equal([row.name, digest(stateDict.get(row.name) as Tensor)]);
  }).timeout(120_000);

  it("reads a large state dict with more storages than one memo byte counts", async () => {
    const stateDict = new StateDict(
      Array.from({ length: 1500 }, (_, index) => [`layer.${index}.weight`, tensorOf("float32", (index % 5) + 1, 4)]),
    );
    const path = join(directory(), "many.pt");
    await saveTorch(path, stateDict);
    const found = await describeSaved(path);
    expect(found.rows.map(({ sha256 }) => sha256)).to.deep.equal([...stateDict.values()].map(digest));
  }).timeout(120_000);

  it("reads our safetensors files where the library is there", async function () {
    const stateDict = new StateDict(
      COMMON.filter(([dtype]) => dtype !== "complex128" && dtype !== "complex64").map(([dtype, itemBytes]) => [
        dtype,
        tensorOf(dtype, 3, itemBytes),
      ]),
    );
    const path = join(directory(), "model.safetensors");
    await saveSafetensors(path, stateDict);
    if (!(await runs("import safetensors"))) return skip(this, "this Python has no safetensors library");
    const found = await describeSaved(path);
    expect(new Set(found.rows.map(({ sha256 }) => sha256))).to.deep.equal(new Set([...stateDict.values()].map(digest)));
  }).timeout(120_000);
});
