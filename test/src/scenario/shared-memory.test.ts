/** One copy of the weights per node, however many replicas look at it; and the same bytes where nothing can be mapped. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type GeneratedCheckpoint, generateCheckpoint } from "@rankcast/bench/generated-checkpoint";
import { expect } from "chai";
import { type CommandSandbox, commandSandbox } from "../support/command-sandbox.js";
import { expectReport, type ReportDocument } from "../support/expect-report.js";
import { torchrunVariables } from "../support/launch-ranks.js";
import { type MemoryRollup, memoryRollup } from "../support/process-table.js";

const HOLD = fileURLToPath(new URL("programs/hold.js", import.meta.url));
const CHECKPOINT_BYTES = 64 * 2 ** 20;

describe("scenario: memory of a node", function () {
  this.timeout(120_000);
  const sandbox = commandSandbox();
  let checkpoint: GeneratedCheckpoint;

  beforeEach(async () => {
    checkpoint = await generateCheckpoint(join(sandbox().directory, "model.pt"), CHECKPOINT_BYTES);
  });

  it("I7: eight replicas hold the bytes of one", async function () {
    if (process.platform !== "linux") this.skip();
    const one = await load(sandbox(), checkpoint.path, 1, 1, ["--immutable"]);
    const eight = await load(sandbox(), checkpoint.path, 4, 2, ["--immutable"]);
    const alone = one.memory.pssBytes ?? Number.NaN;
    const together = eight.memory.pssBytes ?? Number.NaN;
    // Both touched every page: less would mean that nothing was measured.
    expect(alone).to.be.above(0.9 * CHECKPOINT_BYTES);
    expect(together).to.be.above(0.9 * CHECKPOINT_BYTES);
    // Beside the weights each replica costs some of its own (heap, manifest), never a copy: that would be 7 * 64 MiB more.
    expect(together - alone).to.be.below(CHECKPOINT_BYTES);
    expect(eight.memory.sharedBytes).to.equal(one.memory.sharedBytes);
    expect(eight.segments.every(({ kind }) => kind === "file")).to.equal(true);
  });

  it("a file that may be rewritten in place is copied once per node, not per replica", async function () {
    if (process.platform !== "linux") this.skip();
    const report = await load(sandbox(), checkpoint.path, 4, 2, []);
    expect(report.segments.map(({ kind }) => kind)).to.deep.equal(["memfd"]);
    expect(report.memory.pssBytes ?? Number.NaN).to.be.within(0.9 * CHECKPOINT_BYTES, 2 * CHECKPOINT_BYTES);
  });

  it("seen from outside: four ranks share the pages, and a write costs the pages written", async function () {
    if (process.platform !== "linux") this.skip();
    // The processes' own memory differs by some megabytes from run to run: what is written must be far more than that.
    const writtenBytes = 16 * 2 ** 20;
    const one = await held(sandbox(), 1, checkpoint.path, 0);
    const four = await held(sandbox(), 4, checkpoint.path, 0);
    const written = await held(sandbox(), 4, checkpoint.path, writtenBytes);
    const sum = (rollups: readonly MemoryRollup[], field: keyof MemoryRollup): number =>
      rollups.reduce((total, each) => total + each[field], 0);
    // Each process has some 50 MiB of its own; a copy of the weights for each would be 3 * 64 MiB more.
    const ownBytes = sum(one, "pssBytes") - CHECKPOINT_BYTES;
    expect(sum(four, "pssBytes")).to.be.below(CHECKPOINT_BYTES + 4 * ownBytes + CHECKPOINT_BYTES);
    for (const { rssBytes } of four) expect(rssBytes).to.be.above(CHECKPOINT_BYTES);
    const grown = sum(written, "privateDirtyBytes") - sum(four, "privateDirtyBytes");
    expect(grown).to.be.within(4 * writtenBytes * 0.7, 4 * writtenBytes + 0.5 * CHECKPOINT_BYTES);
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });

  it("what is copied is in memory once per rank: the pages it came from are let go", async function () {
    if (process.platform !== "linux") this.skip();
    const [adopted] = await held(sandbox(), 1, checkpoint.path, 0);
    const copied = await held(sandbox(), 2, checkpoint.path, 0, "never");
    for (const { rssBytes, privateDirtyBytes } of copied) {
      expect(privateDirtyBytes).to.be.above(CHECKPOINT_BYTES);
      expect(rssBytes - (adopted?.rssBytes ?? 0)).to.be.below(0.5 * CHECKPOINT_BYTES);
    }
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });

  it("without mapping every rank reads, with the same digests", async () => {
    const mapped = await load(sandbox(), checkpoint.path, 2, 2, ["--immutable", "--digest"]);
    const read = await load(sandbox(), checkpoint.path, 2, 2, ["--digest"], { RANKCAST_NO_MMAP: "1" });
    expect(read.segments.every(({ kind }) => kind === "shared")).to.equal(true);
    expect(digestsOf(read)).to.deep.equal(digestsOf(mapped));
    expect(digestsOf(read)).to.have.length(1);
  });
});

async function load(
  sandbox: CommandSandbox,
  path: string,
  ranks: number,
  replicas: number,
  more: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<ReportDocument> {
  const counts = ["--nproc-per-node", `${ranks}`, "--replicas-per-rank", `${replicas}`];
  const result = await sandbox.run(["load", path, ...counts, "--prefault", "--json", ...more], { env });
  expect(result.exitCode, result.stderr).to.equal(0);
  expect(await sandbox.leftovers()).to.deep.equal([]);
  return expectReport(result.stdout);
}

/** What the kernel says about ranks that have loaded and hold their weights. */
async function held(sandbox: CommandSandbox, ranks: number, path: string, writtenBytes: number, assign = "auto"): Promise<MemoryRollup[]> {
  const running = Array.from({ length: ranks }, (_, rank) =>
    sandbox.start([HOLD, path, `${writtenBytes}`, assign], {
      env: torchrunVariables(rank, ranks, `hold-${ranks}-${writtenBytes}-${assign}`),
    }),
  );
  await Promise.all(running.map((command) => command.waitForStderr("holding")));
  const rollups = running.map(({ pid }) => memoryRollup(pid));
  for (const command of running) command.kill("SIGTERM");
  for (const { exitCode, stderr } of await Promise.all(running.map(({ ended }) => ended))) expect(exitCode, stderr).to.equal(0);
  return rollups;
}

function digestsOf(report: ReportDocument): (string | undefined)[] {
  return [...new Set(report.ranks.flatMap(({ replicas }) => replicas.map(({ digest }) => digest)))];
}
