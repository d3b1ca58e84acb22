/** A bfloat16 checkpoint for float32 models: cast once per node, held once per node, and the same values as a cast of each replica's own. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { castTensor, type DType, digestTensor, type LoadReport, StateDict, Storage, saveSafetensors, Tensor } from "@rankcast/core";
import { expect } from "chai";
import { shapesOf } from "./float-replica.js";
import { poolBench } from "./pool-support.js";

const REPLICA = new URL("float-replica.js", import.meta.url);
const MIB = 2 ** 20;
/** Enough for two threads, and enough for the calling thread alone. */
const LARGE_ROWS = 33_792;
const SMALL_ROWS = 512;
const storedBytes = (rows: number): number => 2 * 2 * 1024 * rows;

describe("pool: casts once per node", function () {
  this.timeout(120_000);
  const bench = poolBench();
  const portable = poolBench({ RANKCAST_NO_MMAP: "1" });
  const directory = mkdtempSync(join(tmpdir(), "rankcast-casts-"));
  const weights = (rows: number): string => join(directory, `${rows}.safetensors`);
  const stateDicts = new Map<number, StateDict>();
  const expected = (dtype: DType, rows = SMALL_ROWS): string[] =>
    [...(stateDicts.get(rows)?.values() ?? [])].map((tensor) => `${dtype} ${digestTensor(castTensor(tensor, dtype))}`);
  const optionsOf = (more: object = {}, rows = SMALL_ROWS): never => ({ rows, ...more }) as never;

  before(async () => {
    for (const rows of [SMALL_ROWS, LARGE_ROWS]) {
      const stateDict = new StateDict();
      for (const [name, shape] of shapesOf(rows)) stateDict.set(name, noise(name.length, shape));
      stateDicts.set(rows, stateDict);
      await saveSafetensors(weights(rows), stateDict);
    }
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  const castSegments = (report: LoadReport): number[] => report.segments.filter(({ kind }) => kind === "memfd").map(({ bytes }) => bytes);

  it("three replicas hold one cast, with the values of their own; a write stays private", async function () {
    if (process.platform !== "linux") this.skip();
    const pool = await bench.createPool({ replica: REPLICA, replicas: 3, options: optionsOf({}, LARGE_ROWS) });
    const report = await pool.load(weights(LARGE_ROWS), { immutable: true, strict: true, prefault: true });
    expect(await pool.runAll("digests")).to.deep.equal(new Array(3).fill(expected("float32", LARGE_ROWS)));
    for (const { casts, copied } of report.ranks[0]?.replicas ?? []) {
      expect(casts.map(({ key, from, to, lossy }) => [key, from, to, lossy])).to.deep.equal(
        shapesOf(LARGE_ROWS).map(([name]) => [name, "bfloat16", "float32", false]),
      );
      expect(copied).to.equal(3);
    }
    expect(castSegments(report).reduce((sum, bytes) => sum + bytes, 0)).to.be.within(
      2 * storedBytes(LARGE_ROWS),
      2 * storedBytes(LARGE_ROWS) + MIB,
    );
    // Each replica's own cast would be twice the stored bytes more, three times.
    expect(report.memory.pssBytes ?? Number.NaN).to.be.within(2 * storedBytes(LARGE_ROWS), 4.5 * storedBytes(LARGE_ROWS));
    await pool.run("write", 5, { replica: 1 });
    expect(await pool.run("scale", null, { replica: 1 })).to.deep.equal(new Array(7).fill(5));
    expect(await pool.run("digests", null, { replica: 0 })).to.deep.equal(expected("float32", LARGE_ROWS));
    await pool.restart(1);
    expect(await pool.run("digests", null, { replica: 1 })).to.deep.equal(expected("float32", LARGE_ROWS));
  });

  it("a lossy cast that is asked for, into models made from the checkpoint", async function () {
    if (process.platform !== "linux") this.skip();
    const pool = await bench.createPool({ replica: REPLICA, replicas: 2, options: optionsOf() });
    const report = await pool.load(weights(SMALL_ROWS), { immutable: true, dtype: "float16" });
    expect(await pool.runAll("digests")).to.deep.equal(new Array(2).fill(expected("float16")));
    expect(castSegments(report).reduce((sum, bytes) => sum + bytes, 0)).to.be.within(
      storedBytes(SMALL_ROWS),
      1.5 * storedBytes(SMALL_ROWS),
    );
    expect(report.ranks[0]?.replicas[0]?.casts[0]?.lossy).to.not.equal(false);
  });

  it("replicas that want different types cast for themselves", async () => {
    const pool = await bench.createPool({ replica: REPLICA, replicas: 2, options: optionsOf({ other: "float16" }) });
    const report = await pool.load(weights(SMALL_ROWS), { immutable: true });
    expect(await pool.runAll("digests")).to.deep.equal([expected("float32"), expected("float16")]);
    expect(castSegments(report)).to.deep.equal([]);
  });

  it("without mapping the values are the same", async () => {
    const pool = await portable.createPool({ replica: REPLICA, replicas: 1, options: optionsOf() });
    await pool.load(weights(SMALL_ROWS), { immutable: true });
    expect(await pool.runAll("digests")).to.deep.equal([expected("float32")]);
  });

  it("a checkpoint that has the wanted type already is not cast", async () => {
    const pool = await bench.createPool({ replica: REPLICA, replicas: 2, options: optionsOf({ dtype: "bfloat16" }) });
    const report = await pool.load(weights(SMALL_ROWS), { immutable: true });
    expect(castSegments(report)).to.deep.equal([]);
    expect(report.ranks[0]?.replicas.map(({ adopted, copied }) => [adopted, copied])).to.deep.equal([
      [3, 0],
      [3, 0],
    ]);
  });
});

function noise(seed: number, shape: readonly number[]): Tensor {
  const storage = Storage.allocate(2 * shape.reduce((product, size) => product * size, 1));
  const words = new Uint16Array(storage.buffer as ArrayBuffer);
  for (let at = 0, state = seed; at < words.length; at += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    // Without the exponents of infinity and NaN, whose payload differs between ways to cast.
    words[at] = (state >>> 16) & 0xbfff;
  }
  return new Tensor({ dtype: "bfloat16", shape, storage });
}
