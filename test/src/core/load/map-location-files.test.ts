/** Section E of the semantics table with real files: what is read, from where, how often a rule is asked, and what an unknown device costs. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  loadCheckpoint,
  loadModelCheckpoint,
  type MapLocation,
  type MapLocationFunction,
  Module,
  Parameter,
  registerDevice,
  StateDict,
  saveTorch,
  Tensor,
} from "@rankcast/core";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { FIXTURES } from "../../support/fixtures.ts";
import { originServer } from "../../support/origin-server.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { torchZipFile } from "../../support/torch-file.ts";
import { dict, int, pickle, tensor, text, tuple } from "../../support/write-pickle.ts";

const TAGGED = `${FIXTURES}accepted/torch-zip/cuda_location.pt`;
const ROWS = 4096;
const FILE_BYTES_MIN = 8 * ROWS * 64 * 4;

function model(): Module {
  const made = new Module();
  for (let index = 0; index < 8; index += 1) made.registerParameter(`w${index}`, Parameter.meta("float32", [ROWS, 64]));
  return made;
}

describe("mapLocation with files", () => {
  const server = originServer();
  const directory = temporaryDirectory();
  const cacheDir = (): string => join(directory(), "cache");
  const serve = async (): Promise<string> => {
    const path = join(directory(), "m.pt");
    const tensors = Array.from(
      { length: 8 },
      (_, at) => [`w${at}`, Tensor.from(new Float32Array(ROWS * 64).fill(at), [ROWS, 64])] as const,
    );
    await saveTorch(path, new StateDict(tensors));
    return server().serve("/m.pt", await readFile(path));
  };

  it("E1: tags of devices that are not here load to host memory and stay as information", async () => {
    const { stateDict } = await loadCheckpoint(TAGGED);
    const tags = new Set([...stateDict.values()].map(({ savedDevice }) => savedDevice));
    expect([...tags].some((tag) => tag.startsWith("cuda"))).to.equal(true);
    for (const tensor of stateDict.values()) expect(tensor.isMeta, tensor.savedDevice).to.equal(tensor.savedDevice === "meta");
  });

  it("E3: of a file with several tags, a table sends each its way", async () => {
    const tags = ["cpu", "cuda:0", "cuda:1", "mps"];
    const vector = (at: number): Uint8Array =>
      tensor({ key: text(String(at)), location: text(tags[at] ?? ""), numel: int(2), size: tuple(int(2)), stride: tuple(int(1)) });
    const path = join(directory(), "tags.pt");
    const storages = Object.fromEntries(tags.map((_, at) => [at, new Uint8Array(Float32Array.of(at, at).buffer)]));
    await writeFile(path, torchZipFile({ pickle: pickle(dict(tags.map((tag, at) => [text(tag), vector(at)] as const))), storages }));
    const metaOf = async (mapLocation: MapLocation): Promise<string[]> => {
      const { stateDict } = await loadCheckpoint(path, { mapLocation });
      for (const [tag, { savedDevice }] of stateDict) expect(savedDevice).to.equal(tag);
      for (const [tag, each] of stateDict)
        if (!each.isMeta) expect([...each.toFloat32Array()]).to.deep.equal([tags.indexOf(tag), tags.indexOf(tag)]);
      return [...stateDict].filter(([, { isMeta }]) => isMeta).map(([tag]) => tag);
    };
    expect(await metaOf(undefined)).to.deep.equal([]);
    expect(await metaOf({ cuda: "meta" })).to.deep.equal([]);
    expect(await metaOf({ "cuda:1": "meta" })).to.deep.equal(["cuda:1"]);
    expect(await metaOf({ "cuda:*": "meta", "cuda:0": "cpu:0" })).to.deep.equal(["cuda:1"]);
    expect(
      await metaOf(
        new Map([
          ["*", "meta"],
          ["mps", "cpu"],
        ]),
      ),
    ).to.deep.equal(["cpu", "cuda:0", "cuda:1"]);
    expect(await metaOf((_, tag) => (tag === "mps" ? "meta" : undefined))).to.deep.equal(["mps"]);
  });

  it("E4: a function is asked once per storage, also when the file is described while it is being downloaded", async () => {
    const calls: string[] = [];
    const rule: MapLocationFunction = ({ nbytes }, tag) => {
      calls.push(`${tag} ${nbytes}`);
      return calls.length === 3 ? "meta" : null;
    };
    const { replica } = await loadModelCheckpoint(model(), await serve(), { cacheDir: cacheDir(), mapLocation: rule });
    expect(calls).to.deep.equal(new Array(8).fill(`cpu ${ROWS * 64 * 4}`));
    expect(replica.matched).to.equal(8);
  });

  it("E2, E4: a wrong rule is refused before anything is asked for", async () => {
    const url = await serve();
    for (const wrong of [3, "gpu", { "cuda:0": "cuda:1" }, ["cpu"]]) {
      await expectError("RANKCAST_MAP_LOCATION", loadModelCheckpoint(model(), url, { cacheDir: cacheDir(), mapLocation: wrong as string }));
    }
    expect(server().bodyBytes).to.equal(0);
  });

  it("E5: for meta only headers are fetched, and nothing is read", async () => {
    const url = await serve();
    const holder = model();
    const report = await loadModelCheckpoint(holder, url, { cacheDir: cacheDir(), mapLocation: "meta", strict: true });
    expect([...holder.namedParameters()].map(([, { held }]) => [held.shape, held instanceof Tensor && held.isMeta])).to.deep.equal(
      new Array(8).fill([[ROWS, 64], true]),
    );
    expect(server().bodyBytes).to.be.below(FILE_BYTES_MIN / 4);
    expect(report.origin.bytesRead).to.be.below(FILE_BYTES_MIN / 4);
    expect(report.segments.reduce((sum, { bytes }) => sum + bytes, 0)).to.equal(0);
  });

  it("E2: a registered device takes tensors like any other", async () => {
    const dispose = registerDevice("webgpu");
    try {
      const { stateDict } = await loadCheckpoint(TAGGED, { mapLocation: "webgpu:1" });
      expect([...stateDict.values()].filter(({ isMeta, savedDevice }) => isMeta && savedDevice !== "meta")).to.deep.equal([]);
    } finally {
      dispose();
    }
    const { message } = await expectError("RANKCAST_MAP_LOCATION", loadCheckpoint(TAGGED, { mapLocation: "webgpu:1" }));
    expect(message).to.contain("known devices: cpu, cpu:N, meta, shared");
  });
});
