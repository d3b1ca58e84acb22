/** A bfloat16 checkpoint for float32 models: cast once per node, held once per node, and the same values as a cast of each replica's own. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { castTensor, type DType, digestTensor, type LoadReport, StateDict, Storage, saveSafetensors, Tensor } from "@rankcast/core";
import { expect } from "chai";
import { SHAPES } from "./float-replica.js";
import { poolBench } from "./pool-support.js";

const REPLICA = new URL("float-replica.js", import.meta.url);
const MIB = 2 ** 20;
const STORED_BYTES = 2 * 2 * 1024 * 33_792;

describe("pool: casts once per node", function () {
  this.timeout(120_000);
  const bench = poolBench();
  const portable = poolBench({ RANKCAST_NO_MMAP: "1" });
  const directory = mkdtempSync(join(tmpdir(), "rankcast-casts-"));
  const weights = join(directory, "bf16.safetensors");
  const stateDict = new StateDict();
  const expected = (dtype: DType): string[] =>
    [...stateDict.values()].map((tensor) => `${dtype} ${digestTensor(castTensor(tensor, dtype))}`);

  before(async () => {
    for (const [name, shape] of SHAPES) {
      const storage = Storage.allocate(2 * shape.reduce((product, size) => product * size, 1));
      const words = new Uint16Array(storage.buffer as ArrayBuffer);
      for (let at = 0, state = name.length; at < words.length; at += 1) {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
        // Without the exponents of infinity and NaN, whose payload differs between ways to cast.
        words[at] = (state >>> 16) & 0xbfff;
      }
      stateDict.set(name, new Tensor({ dtype: "bfloat16", shape, storage }));
    }
    await saveSafetensors(weights, stateDict);
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  const castSegments = (report: LoadReport): number[] => report.segments.filter(({ kind }) => kind === "memfd").map(({ bytes }) => bytes);

  it("three replicas hold one cast, with the values of their own; a write stays private", async function () {
    if (process.platform !== "linux") this.skip();
    const pool = await bench.createPool({ replica: REPLICA, replicas: 3 });
    const report = await pool.load(weights, { immutable: true, strict: true, prefault: true });
    expect(await pool.runAll("digests")).to.deep.equal(new Array(3).fill(expected("float32")));
    for (const { casts, copied } of report.ranks[0]?.replicas ?? []) {
      expect(casts.map(({ key, from, to, lossy }) => [key, from, to, lossy])).to.deep.equal(
        SHAPES.map(([name]) => [name, "bfloat16", "float32", false]),
      );
      expect(copied).to.equal(SHAPES.length);
    }
    expect(castSegments(report).reduce((sum, bytes) => sum + bytes, 0)).to.be.within(2 * STORED_BYTES, 2 * STORED_BYTES + MIB);
    // Each replica's own cast would be 2 * STORED_BYTES more, three times.
    expect(report.memory.pssBytes ?? Number.NaN).to.be.within(2 * STORED_BYTES, 4.5 * STORED_BYTES);
    await pool.run("write", 5, { replica: 1 });
    expect(await pool.run("scale", null, { replica: 1 })).to.deep.equal(new Array(7).fill(5));
    expect(await pool.run("digests", null, { replica: 0 })).to.deep.equal(expected("float32"));
    await pool.restart(1);
    expect(await pool.run("digests", null, { replica: 1 })).to.deep.equal(expected("float32"));
  });

  it("a lossy cast that is asked for, into models made from the checkpoint", async function () {
    if (process.platform !== "linux") this.skip();
    const pool = await bench.createPool({ replica: REPLICA, replicas: 2 });
    const report = await pool.load(weights, { immutable: true, dtype: "float16" });
    expect(await pool.runAll("digests")).to.deep.equal(new Array(2).fill(expected("float16")));
    expect(castSegments(report).reduce((sum, bytes) => sum + bytes, 0)).to.be.within(STORED_BYTES, STORED_BYTES + MIB);
    expect(report.ranks[0]?.replicas[0]?.casts[0]?.lossy).to.not.equal(false);
  });

  it("replicas that want different types cast for themselves", async () => {
    const pool = await bench.createPool({ replica: REPLICA, replicas: 2, options: { other: "float16" } as never });
    const report = await pool.load(weights, { immutable: true });
    expect(await pool.runAll("digests")).to.deep.equal([expected("float32"), expected("float16")]);
    expect(castSegments(report)).to.deep.equal([]);
  });

  it("without mapping the values are the same", async () => {
    const pool = await portable.createPool({ replica: REPLICA, replicas: 1 });
    await pool.load(weights, { immutable: true });
    expect(await pool.runAll("digests")).to.deep.equal([expected("float32")]);
  });

  it("a checkpoint that has the wanted type already is not cast", async () => {
    const pool = await bench.createPool({ replica: REPLICA, replicas: 2, options: { dtype: "bfloat16" } as never });
    const report = await pool.load(weights, { immutable: true });
    expect(castSegments(report)).to.deep.equal([]);
    expect(report.ranks[0]?.replicas.map(({ adopted, copied }) => [adopted, copied])).to.deep.equal([
      [3, 0],
      [3, 0],
    ]);
  });
});
