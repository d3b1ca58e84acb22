/** Copies that replicas make while the file is still arriving: nothing of them is seen before the load is whole, and they are what the load would have made. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  castTensor,
  type DType,
  digestTensor,
  type LoadProgress,
  type LoadReport,
  StateDict,
  Storage,
  saveSafetensors,
  saveTorch,
  Tensor,
} from "@rankcast/core";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.js";
import { GatedBody } from "../../support/gated-body.js";
import { originServer } from "../../support/origin-server.js";
import { OWNING_SHAPES } from "./owning-replica.js";
import { poolBench, type TestPool } from "./pool-support.js";

const REPLICA = new URL("owning-replica.js", import.meta.url);
/** The first of the two large parameters as bfloat16, and more than a block of a download beyond it. */
const FIRST_BYTES = 3.5 * 2 ** 20;

describe("pool: copied ahead", function () {
  this.timeout(60_000);
  const mapped = poolBench();
  const portable = poolBench({ RANKCAST_NO_MMAP: "1" });
  const server = originServer();
  const directory = mkdtempSync(join(tmpdir(), "rankcast-ahead-"));
  const cacheDir = join(directory, "cache");
  after(() => rmSync(directory, { recursive: true, force: true }));
  const untouched = new Array(2).fill(digestsOf(new StateDict(OWNING_SHAPES.map(([name, shape]) => [name, ones(shape)])), "float32"));

  const pool = (bench = mapped, options: object = {}): Promise<TestPool> =>
    bench.createPool({ replica: REPLICA, replicas: 2, options: options as never });

  /** Loads a file whose rest is sent when replicas have begun to copy; gives what they looked like then. */
  async function load(
    replicas: TestPool,
    gate: GatedBody,
    name: string,
    options: object = {},
  ): Promise<{ report: LoadReport; seen: unknown }> {
    let seen: Promise<unknown> = Promise.resolve();
    const onProgress = ({ phase }: LoadProgress): void => {
      if (phase !== "copying ahead") return;
      seen = replicas.runAll("digests");
      seen.then(
        () => gate.open(),
        () => gate.open(),
      );
    };
    const report = await replicas.load(server().route(`/${name}`, gate.handler), { cacheDir, onProgress, strict: true, ...options });
    return { report, seen: await seen };
  }

  for (const ranges of [false, true]) {
    it(`casts into parameters that have memory, ${ranges ? "by ranges" : "in one stream"}`, async () => {
      const { stateDict, bytes } = await written("bfloat16");
      const replicas = await pool();
      const { report, seen } = await load(replicas, new GatedBody(bytes, FIRST_BYTES, ranges), `casts-${ranges}.safetensors`);
      expect(seen).to.deep.equal(untouched);
      expect(report.ranks[0]?.replicas.map(({ copied }) => copied)).to.deep.equal([3, 3]);
      expectAhead(report);
      expect(await replicas.runAll("digests")).to.deep.equal(new Array(2).fill(digestsOf(stateDict, "float32")));
    });
  }

  it("new memory for parameters that have none", async () => {
    const { stateDict, bytes } = await written("float32");
    const replicas = await pool(mapped, { meta: true });
    const { report } = await load(replicas, new GatedBody(bytes, 2 * FIRST_BYTES), "fresh.safetensors", { assign: "never" });
    expectAhead(report);
    expect(await replicas.runAll("digests")).to.deep.equal(new Array(2).fill(digestsOf(stateDict, "float32")));
  });

  it("another order of elements, from a torch file", async () => {
    const { stateDict, bytes } = await written("float32", "transposed.pt");
    const replicas = await pool();
    const { report } = await load(replicas, new GatedBody(bytes, 2 * FIRST_BYTES), "transposed.pt");
    expectAhead(report);
    expect(await replicas.runAll("digests")).to.deep.equal(new Array(2).fill(digestsOf(stateDict, "float32")));
  });

  it("without mapping the values are the same", async () => {
    const { stateDict, bytes } = await written("bfloat16");
    const replicas = await pool(portable);
    const { report, seen } = await load(replicas, new GatedBody(bytes, FIRST_BYTES), "portable.safetensors");
    expect(seen).to.deep.equal(untouched);
    expectAhead(report);
    expect(await replicas.runAll("digests")).to.deep.equal(new Array(2).fill(digestsOf(stateDict, "float32")));
  });

  it("what needs no copy, or costs no more at the commit, is left where it is", async () => {
    const { bytes } = await written("float32");
    for (const meta of [true, false]) {
      const replicas = await pool(mapped, { meta });
      const report = await replicas.load(server().serve(`/plain-${meta}.safetensors`, bytes), { cacheDir, strict: true });
      expect(report.timings).to.not.have.property("aheadMs");
    }
  });

  it("copies beside a model's own memory are bounded", async () => {
    const { stateDict, bytes } = await written("bfloat16");
    const replicas = await pool();
    const url = server().serve("/bounded.safetensors", bytes);
    const report = await replicas.load(url, { cacheDir, strict: true, limits: { replicaAheadBytes: 4 * 2 ** 20 - 1 } });
    expect(report.timings).to.not.have.property("aheadMs");
    expect(await replicas.runAll("digests")).to.deep.equal(new Array(2).fill(digestsOf(stateDict, "float32")));
  });

  it("a download that fails leaves the replicas as they were, and the next load is right", async () => {
    const { stateDict, bytes } = await written("bfloat16");
    const replicas = await pool();
    const gate = new GatedBody(bytes, FIRST_BYTES);
    let served = 0;
    const url = server().route("/fails.safetensors", (request, response) => {
      served += 1;
      if (served > 2) response.writeHead(404).end();
      else cutAtGate(gate, request, response);
    });
    let begun = false;
    const onProgress = ({ phase }: LoadProgress): void => {
      if (phase !== "copying ahead") return;
      begun = true;
      gate.open();
    };
    await expectError("RANKCAST_NOT_FOUND", replicas.load(url, { cacheDir, onProgress }));
    expect(begun).to.equal(true);
    expect(await replicas.runAll("digests")).to.deep.equal(untouched);
    await replicas.load(server().serve("/works.safetensors", bytes), { cacheDir, strict: true });
    expect(await replicas.runAll("digests")).to.deep.equal(new Array(2).fill(digestsOf(stateDict, "float32")));
  });

  it("a file that became another one while it arrived: nothing of the first one is used", async () => {
    const [first, second] = [await written("bfloat16"), await written("bfloat16")];
    const replicas = await pool();
    const gate = new GatedBody(first.bytes, FIRST_BYTES);
    let cut = false;
    const url = server().route("/changes.safetensors", (request, response) => {
      if (request.method === "HEAD" || cut) server().sendBytes(request, response, cut ? second.bytes : first.bytes);
      else {
        cutAtGate(gate, request, response, () => {
          cut = true;
        });
      }
    });
    const onProgress = ({ phase }: LoadProgress): void => {
      if (phase === "copying ahead") gate.open();
    };
    const report = await replicas.load(url, { cacheDir, onProgress, strict: true });
    expect(report.timings.aheadMs).to.be.above(0);
    for (const { copiedAhead } of report.ranks[0]?.replicas ?? []) expect(copiedAhead).to.equal(undefined);
    expect(await replicas.runAll("digests")).to.deep.equal(new Array(2).fill(digestsOf(second.stateDict, "float32")));
  });

  let files = 0;
  async function written(dtype: DType, name = "plain.safetensors"): Promise<{ stateDict: StateDict; bytes: Buffer }> {
    files += 1;
    const path = join(directory, `${files}-${name}`);
    const transposed = name.startsWith("transposed");
    const tensors = OWNING_SHAPES.map(([key, shape], index) => [key, noise(files + index, shape, transposed)] as const);
    const stateDict = new StateDict(tensors.map(([key, tensor]) => [key, castTensor(tensor, dtype)]));
    const saved = transposed ? new StateDict(tensors) : stateDict;
    await (transposed ? saveTorch(path, saved) : saveSafetensors(path, saved));
    return { stateDict: saved, bytes: readFileSync(path) };
  }
});

/** At least the first parameter was copied before the rest had come, in both replicas. */
function expectAhead(report: LoadReport): void {
  expect(report.timings.aheadMs).to.be.above(0);
  for (const { copiedAhead } of report.ranks[0]?.replicas ?? []) expect(copiedAhead).to.be.within(1, 2);
}

/** Serves what is before the gate, and cuts the connection when it opens. */
function cutAtGate(gate: GatedBody, request: IncomingMessage, response: ServerResponse, onCut: () => void = () => undefined): void {
  const end = response.end.bind(response);
  response.end = ((...args: Parameters<typeof end>) => {
    if (request.method === "HEAD") return end(...args);
    onCut();
    response.socket?.destroy();
    return response;
  }) as typeof response.end;
  gate.handler(request, response);
}

function digestsOf(stateDict: StateDict, dtype: DType): string[] {
  return [...stateDict.values()].map((tensor) => `${dtype} ${digestTensor(castTensor(tensor, dtype))}`);
}

function ones(shape: readonly number[]): Tensor {
  const count = shape.reduce((product, each) => product * each, 1);
  return Tensor.from(new Float32Array(count).fill(1), shape);
}

/** Values that differ from place to place; of a matrix that is laid out column by column when `transposed`. */
function noise(seed: number, shape: readonly number[], transposed: boolean): Tensor {
  const count = shape.reduce((product, each) => product * each, 1);
  const values = Float32Array.from({ length: count }, (_, index) => Math.sin(index * 0.7 + seed));
  const [rows = 1] = shape;
  const stride = transposed && shape.length === 2 ? [1, rows] : undefined;
  const storage = new Storage(values.buffer, 0, values.byteLength);
  return new Tensor({ dtype: "float32", shape, storage, ...(stride ? { stride } : {}) });
}
