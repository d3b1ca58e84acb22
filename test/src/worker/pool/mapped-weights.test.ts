/** Mapped weights are their replica's own, although a shared buffer shows them: nothing that leaves a replica lets others see it train. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StateDict, saveSafetensors, Tensor } from "@rankcast/core";
import { expect } from "chai";
import { shapesOf } from "./float-replica.js";
import { poolBench } from "./pool-support.js";

const ROWS = 8;

describe("pool: mapped weights", function () {
  this.timeout(120_000);
  const bench = poolBench();
  const directory = mkdtempSync(join(tmpdir(), "rankcast-mapped-"));
  const weights = join(directory, "weights.safetensors");

  before(async () => {
    const stateDict = new StateDict();
    for (const [name, shape] of shapesOf(ROWS)) {
      const count = shape.reduce((product, size) => product * size, 1);
      stateDict.set(name, Tensor.from(new Float32Array(count).fill(3), [...shape]));
    }
    await saveSafetensors(weights, stateDict);
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  it("tensors, their elements and state dicts come out as copies", async function () {
    if (process.platform !== "linux") this.skip();
    const pool = await bench.createPool({
      replica: new URL("float-replica.js", import.meta.url),
      replicas: 2,
      options: { rows: ROWS } as never,
    });
    const report = await pool.load(weights, { immutable: true, strict: true });
    expect(report.ranks[0]?.replicas[0]?.adopted).to.equal(3);
    const [handed, other] = (await pool.runAll("handOut")) as { tensor: Tensor; elements: Float32Array; stateDict: StateDict }[];
    if (!handed || !other) throw new Error("two replicas answer");
    const shown = (): number[] =>
      [handed.tensor.data, handed.elements, handed.stateDict.get("scale")?.data].map((data) => Number((data as Float32Array)[0]));
    expect(shown()).to.deep.equal([3, 3, 3]);
    await pool.run("write", 5, { replica: 0 });
    expect(shown()).to.deep.equal([3, 3, 3]);
    handed.elements.fill(7);
    (handed.tensor.data as Float32Array).fill(7);
    expect(await pool.run("scale", null, { replica: 0 })).to.deep.equal(new Array(7).fill(5));
    expect(await pool.run("scale", null, { replica: 1 })).to.deep.equal(new Array(7).fill(3));
  });
});
