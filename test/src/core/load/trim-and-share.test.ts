/** What travels and is held of a storage that several names share, or that a saved slice drags along. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { explainLoad, loadModelCheckpoint, Module, Parameter } from "@rankcast/core";
import { expect } from "chai";
import { temporaryDirectory } from "../../support/temporary-directory.js";
import { torchZipFile } from "../../support/torch-file.js";
import { dict, int, pickle, tensor, text, tuple } from "../../support/write-pickle.js";

const ELEMENTS = 1_000_000;
const values = Float32Array.from({ length: ELEMENTS }, (_, at) => at);

describe("load: trimmed and shared storages", () => {
  const directory = temporaryDirectory();

  function file(entries: Parameters<typeof dict>[0]): string {
    const path = join(directory(), "model.pt");
    writeFileSync(path, torchZipFile({ pickle: pickle(dict(entries)), storages: { 0: new Uint8Array(values.buffer) } }));
    return path;
  }
  const part = (offset: number, count: number): Uint8Array =>
    tensor({ numel: int(ELEMENTS), offset: int(offset), size: tuple(int(count)), stride: tuple(int(1)) });

  async function load(path: string, names: Readonly<Record<string, number>>): Promise<Module> {
    const model = new Module();
    for (const [name, size] of Object.entries(names)) model.registerParameter(name, Parameter.meta("float32", [size]));
    await loadModelCheckpoint(model, path, { strict: true, cacheDir: join(directory(), "cache") });
    return model;
  }

  it("a saved slice of a large storage brings its own bytes and few others", async () => {
    const path = file([[text("w"), part(500_000, 1000)]]);
    const { copiedBytes } = (await explainLoad(path)).report;
    expect(copiedBytes).to.be.within(4000, 4000 + 65_536);
    const model = await load(path, { w: 1000 });
    expect([...(model.stateDict().get("w")?.toFloat32Array() ?? [])]).to.deep.equal([...values.subarray(500_000, 501_000)]);
  });

  it("a storage that several names share is brought once, and the names still alias", async () => {
    const path = file([
      [text("a"), part(0, ELEMENTS)],
      [text("b"), part(0, ELEMENTS)],
      [text("tail"), part(900_000, 100_000)],
    ]);
    expect((await explainLoad(path)).report.copiedBytes).to.equal(4 * ELEMENTS);
    const state = (await load(path, { a: ELEMENTS, b: ELEMENTS, tail: 100_000 })).stateDict();
    const [a, tail] = [state.get("a")?.data as Float32Array, state.get("tail")?.data as Float32Array];
    a[999_999] = -1;
    expect(tail[99_999]).to.equal(-1);
    expect(state.get("b")?.get(999_999)).to.equal(-1);
  });
});
