/** The main job over HTTP: the origin is asked once, whatever the number of ranks and replicas. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type GeneratedCheckpoint, generateCheckpoint } from "@rankcast/bench/generated-checkpoint";
import { expect } from "chai";
import { type CommandSandbox, commandSandbox } from "../support/command-sandbox.js";
import { expectReport, type ReportDocument } from "../support/expect-report.js";
import { FIXTURES } from "../support/fixtures.js";
import { originServer } from "../support/origin-server.js";

const CHECKPOINT_BYTES = 4 * 2 ** 20;
const RANKS = 4;
const REPLICAS = 2;

describe("scenario: one download for every rank", () => {
  const sandbox = commandSandbox();
  const origin = originServer();
  let checkpoint: GeneratedCheckpoint;
  let bytes: Buffer;

  beforeEach(async () => {
    checkpoint = await generateCheckpoint(join(sandbox().directory, "model.pt"), CHECKPOINT_BYTES);
    bytes = readFileSync(checkpoint.path);
  });

  it("I2: 4 ranks of 2 replicas cost the origin one body, and the next run nothing", async () => {
    const url = origin().serve("/weights/model.pt", bytes);

    const cold = await load(sandbox(), url);
    expect(origin().requests.filter((line) => line.startsWith("GET"))).to.deep.equal(["GET /weights/model.pt"]);
    expect(origin().bodyBytes).to.equal(bytes.length);
    expect(cold.origin.requests).to.equal(origin().requests.length);
    expect(cold.origin.bytesRead).to.equal(bytes.length);
    expect(cold.origin.bytesNeeded).to.be.at.most(bytes.length);
    expect(cold.bytes).to.equal(bytes.length);
    expectAllLoaded(cold);
    const cached = filesOfSize(sandbox(), bytes.length);
    expect(cached).to.have.length(1);
    expect(readFileSync(join(sandbox().cacheHome, cached[0] ?? "")).equals(bytes)).to.equal(true);

    const seen = origin().requests.length;
    const warm = await load(sandbox(), url);
    // One question whether the URL still stands for the same file; no byte of it.
    expect(origin().requests.slice(seen)).to.deep.equal(["HEAD /weights/model.pt"]);
    expect(warm.origin).to.include({ requests: 1, bytesRead: 0, cacheHits: 1 });
    expectAllLoaded(warm);
    expect(digestsOf(warm)).to.deep.equal(digestsOf(cold));
    expect(filesOfSize(sandbox(), bytes.length)).to.deep.equal(cached);
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });

  it("a name that holds the file's hash is not even asked about again", async () => {
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const url = origin().serve(`/model-${sha256.slice(0, 8)}.pth`, bytes);
    await load(sandbox(), url);
    const seen = origin().requests.length;
    const warm = await load(sandbox(), url);
    expect(origin().requests).to.have.length(seen);
    expect(warm.origin).to.include({ requests: 0, bytesRead: 0, cacheHits: 1 });
    expect(warm.sha256).to.equal(sha256);
  });

  it("what is cached loads when the origin is down, and the report says that nobody was asked", async () => {
    const url = origin().serve("/model.pt", bytes);
    const before = await load(sandbox(), url);
    await origin().close();
    const after = await load(sandbox(), url);
    expect(digestsOf(after)).to.deep.equal(digestsOf(before));
    expect(after.warnings.map(({ code }) => code)).to.include("RANKCAST_CACHE_UNCONFIRMED");
  });

  it("a file that changed at the origin is fetched anew", async () => {
    const url = origin().serve("/model.pt", bytes);
    await load(sandbox(), url);
    origin().serve("/model.pt", readFileSync(`${FIXTURES}accepted/torch-zip/state_dict_t213.pt`));
    expect((await load(sandbox(), url)).ranks[0]?.replicas[0]?.matched).to.equal(9);
  });

  it("two URLs with one file name are two entries of the cache", async () => {
    const other = readFileSync(`${FIXTURES}accepted/torch-zip/state_dict_t213.pt`);
    const first = await load(sandbox(), origin().serve("/a/model.pt", bytes));
    const second = await load(sandbox(), origin().serve("/b/model.pt", other));
    expect(first.ranks[0]?.replicas[0]?.matched).to.equal(checkpoint.tensors.length);
    expect(second.ranks[0]?.replicas[0]?.matched).to.equal(9);
    expect(origin().requests.filter((line) => line.startsWith("GET"))).to.deep.equal(["GET /a/model.pt", "GET /b/model.pt"]);
  });

  it("--offline serves what is cached and refuses the rest without a request", async () => {
    const url = origin().serve("/model.pt", bytes);
    const refused = await sandbox().run(["load", url, "--offline", "--json"]);
    expect(refused.exitCode).to.equal(1);
    expect(origin().requests).to.deep.equal([]);
    await load(sandbox(), url);
    const seen = origin().requests.length;
    const { exitCode, stdout } = await sandbox().run(["load", url, "--offline", "--json"]);
    expect(exitCode).to.equal(0);
    expectReport(stdout);
    expect(origin().requests).to.have.length(seen);
  });

  it("a file on disk is read by nobody's request and gives the same digests", async () => {
    const served = await load(sandbox(), origin().serve("/model.pt", bytes));
    const local = await load(sandbox(), checkpoint.path);
    expect(digestsOf(local)).to.deep.equal(digestsOf(served));
    expect(local.origin.requests).to.equal(0);
  });
});

async function load(sandbox: CommandSandbox, weights: string): Promise<ReportDocument> {
  const args = ["load", weights, "--nproc-per-node", `${RANKS}`, "--replicas-per-rank", `${REPLICAS}`, "--strict", "--digest", "--json"];
  const { exitCode, stdout, stderr } = await sandbox.run(args);
  expect(exitCode, stderr).to.equal(0);
  return expectReport(stdout);
}

function expectAllLoaded(report: ReportDocument): void {
  expect(report).to.include({ format: "torch-zip", worldSize: RANKS, nodes: 1, generation: 0 });
  expect(new Set(report.ranks.map(({ pid }) => pid)).size, "ranks are processes").to.equal(RANKS);
  for (const { replicas } of report.ranks) {
    expect(replicas).to.have.length(REPLICAS);
    for (const replica of replicas) {
      expect(replica).to.include({ matched: 16, renamed: 16, ignored: 0 });
      expect(replica).to.deep.include({ missing: [], unexpected: [], mismatched: [], casts: [] });
    }
  }
  expect(digestsOf(report)).to.have.length(1);
}

/** The different digests among all replicas of all ranks. */
function digestsOf(report: ReportDocument): (string | undefined)[] {
  return [...new Set(report.ranks.flatMap(({ replicas }) => replicas.map(({ digest }) => digest)))];
}

function filesOfSize(sandbox: CommandSandbox, nbytes: number): string[] {
  return sandbox.cacheFiles().filter((path) => readFileSync(join(sandbox.cacheHome, path)).length === nbytes);
}
