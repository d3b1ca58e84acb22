/** The library's side: processes that any launcher started become a group, load, update and leave. */
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { commandSandbox } from "../support/command-sandbox.js";
import { expectReport, type ReportDocument } from "../support/expect-report.js";
import { EXPECTED, FIXTURES } from "../support/fixtures.js";
import { documentsOf, launchRanks, torchrunVariables } from "../support/launch-ranks.js";

const CHECKPOINT = "accepted/torch-zip/state_dict_t213.pt";
const WEIGHTS = FIXTURES + CHECKPOINT;
const OTHER_WEIGHTS = `${FIXTURES}accepted/torch-zip/minimal.pt`;
const RANKS = 3;
const BOUND_MS = 30_000;

const program = (name: string): string => fileURLToPath(new URL(`programs/${name}.js`, import.meta.url));
/** `[name, sha256]` as torch computed them. */
const truth = EXPECTED.get(CHECKPOINT)?.tensors?.map(({ name, sha256 }) => [name, sha256]);

interface ModelUpdateDocument {
  readonly identity: Readonly<Record<string, number>>;
  readonly report: ReportDocument;
  readonly loaded: unknown;
  readonly generations: readonly number[];
  readonly biases: readonly (readonly number[])[];
  readonly digest: string;
  readonly pid: number;
}

interface PoolDocument {
  readonly report: ReportDocument;
  readonly loaded: readonly unknown[];
  readonly places: readonly { readonly pid: number; readonly threadId: number }[];
  readonly before: readonly number[];
  readonly written: readonly (readonly number[])[];
  readonly generation: number;
  readonly updated: readonly (readonly number[])[];
  readonly failures: readonly Readonly<Record<string, string>>[];
  readonly stillThere: readonly number[];
  readonly pid: number;
}

interface OutcomeDocument {
  readonly ended: string;
  readonly class: string;
  readonly code: string;
  readonly message: string;
  readonly rootCause: Readonly<Record<string, unknown>>;
  readonly untouched: boolean;
}

interface RecoverDocument {
  readonly steps: readonly unknown[];
  readonly bias: readonly number[];
  readonly generation: number;
}

describe("scenario: a group under a launcher of one's own", function () {
  this.timeout(BOUND_MS + 10_000);
  const sandbox = commandSandbox();

  it("loads the truth into every rank's model and updates it from any rank", async () => {
    const results = await launchRanks(sandbox(), program("model-update"), RANKS, { args: [WEIGHTS], timeoutMs: BOUND_MS });
    const documents = documentsOf<ModelUpdateDocument>(results);
    documents.forEach(({ identity, loaded, generations, pid, report }, rank) => {
      expect(identity).to.deep.equal({ rank, localRank: rank, nodeRank: 0, worldSize: RANKS, localWorldSize: RANKS });
      expect(loaded).to.deep.equal(truth);
      expect(generations).to.deep.equal([0, 1, 1, 2, 2]);
      expect(report.ranks[rank]?.pid).to.equal(pid);
    });
    // Every rank gets the whole job's report, not its own part.
    expect(new Set(documents.map(({ report }) => JSON.stringify(report))).size).to.equal(1);
    expectReport(JSON.stringify(documents[0]?.report));
    const [first = []] = documents[0]?.biases ?? [];
    const steps = [
      first,
      first.map((value) => Math.fround(value * 2)),
      first.map((value) => Math.fround(Math.fround(value * 2) * (RANKS + 1))),
    ];
    for (const { biases } of documents) expect(biases).to.deep.equal(steps);
    expect(new Set(documents.map(({ digest }) => digest)).size).to.equal(1);
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });

  it("pools: replicas in threads, private writes, calls by name, updates", async () => {
    const results = await launchRanks(sandbox(), program("pool"), 2, { args: [WEIGHTS], timeoutMs: BOUND_MS });
    for (const document of documentsOf<PoolDocument>(results)) {
      expect(document.loaded).to.deep.equal([truth, truth]);
      expect(document.places.every(({ pid }) => pid === document.pid)).to.equal(true);
      expect(new Set(document.places.map(({ threadId }) => threadId)).size).to.equal(2);
      // What one replica writes, no other replica of this or another rank sees: copy-on-write.
      expect(document.written).to.deep.equal([document.before, document.before.map((value) => Math.fround(value * 2))]);
      expect(document.generation).to.equal(1);
      expect(document.updated).to.deep.equal([
        [5, 6],
        [5, 6],
      ]);
      const [thrown, unknown] = document.failures;
      expect(thrown).to.include({ class: "worker", cause: "TypeError" });
      expect(thrown?.["message"]).to.contain("no gradient");
      expect(unknown?.["message"]).to.contain("no_such_function");
      expect(document.stillThere).to.deep.equal([5, 6]);
    }
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });

  it("without mapping the group gives the same bytes", async () => {
    const env = { RANKCAST_NO_MMAP: "1" };
    const results = await launchRanks(sandbox(), program("pool"), 2, { args: [WEIGHTS], env, timeoutMs: BOUND_MS });
    for (const { loaded, written, before, updated } of documentsOf<PoolDocument>(results)) {
      expect(loaded).to.deep.equal([truth, truth]);
      expect(written).to.deep.equal([before, before.map((value) => Math.fround(value * 2))]);
      expect(updated).to.deep.equal([
        [5, 6],
        [5, 6],
      ]);
    }
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });

  it("ranks that ask for different weights are told so, all of them", async () => {
    const args = ["weights", WEIGHTS, OTHER_WEIGHTS];
    const documents = documentsOf<OutcomeDocument>(await launchRanks(sandbox(), program("disagree"), RANKS, { args, timeoutMs: BOUND_MS }));
    for (const document of documents) expect(document).to.include({ ended: "failed", untouched: true });
    expect(new Set(documents.map(({ code }) => code)).size).to.equal(1);
    expect(new Set(documents.map(({ rootCause }) => JSON.stringify(rootCause))).size).to.equal(1);
  });

  for (const [fault, expected] of [
    ["exit", { class: "peer", code: "RANKCAST_RANK_LOST" }],
    ["kill", { class: "peer", code: "RANKCAST_RANK_LOST" }],
    ["abort", { class: "peer", code: "RANKCAST_RANK_ABORTED" }],
  ] as const) {
    it(`${fault} on one rank: the others fail with that rank as root cause`, async () => {
      const args = [fault, WEIGHTS];
      const results = await launchRanks(sandbox(), program("disagree"), RANKS, { args, timeoutMs: BOUND_MS });
      const survivors = results.filter((_, rank) => rank !== 1);
      for (const document of documentsOf<OutcomeDocument>(survivors)) {
        expect(document).to.include({ ended: "failed", untouched: true, ...expected });
        expect(document.rootCause).to.include({ rank: 1, nodeRank: 0 });
      }
      expect(await sandbox().leftovers()).to.deep.equal([]);
    });
  }

  it("a group goes on after rounds that failed: nothing was touched, and the next one counts", async () => {
    const results = await launchRanks(sandbox(), program("recover"), RANKS, { args: [WEIGHTS, OTHER_WEIGHTS], timeoutMs: BOUND_MS });
    for (const { steps, bias, generation } of documentsOf<RecoverDocument>(results)) {
      const [strict, loaded, unmatched, updated, impatient, still] = steps;
      expect(strict).to.include({ class: "state-dict" });
      expect(unmatched).to.include({ class: "state-dict" });
      expect(impatient).to.deep.include({ class: "timeout", missing: [2] });
      expect([loaded, updated, still]).to.deep.equal(["passed", "passed", "passed"]);
      expect(bias).to.deep.equal([7, 7]);
      expect(generation).to.equal(1);
    }
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });

  it("a group of one needs no launcher", async () => {
    const result = await sandbox().start([program("alone"), WEIGHTS], { timeoutMs: BOUND_MS }).ended;
    const [document] = documentsOf<{ readonly loaded: unknown; readonly generation: number }>([result]);
    expect(document).to.include({ rank: 0, worldSize: 1, localWorldSize: 1, generation: 1, afterClose: "RANKCAST_CLOSED" });
    expect(document?.loaded).to.deep.equal(truth);
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });

  it("variables that contradict each other are refused before anything starts", async () => {
    for (const wrong of [{ RANK: "5" }, { LOCAL_RANK: "two" }, { WORLD_SIZE: undefined }]) {
      const env = { ...torchrunVariables(1, 2, "scenario"), ...wrong };
      const { exitCode, stderr } = await sandbox().run(["load", WEIGHTS, "--json"], { env, timeoutMs: BOUND_MS });
      expect(exitCode, stderr).to.equal(2);
      const { error } = JSON.parse(stderr.trimEnd().split("\n").at(-1) ?? "") as {
        error: { class: string; code: string; message: string };
      };
      expect(error).to.include({ class: "usage", code: "RANKCAST_RANK_VARIABLES" });
      expect(error.message).to.contain(Object.keys(wrong)[0]);
    }
  });

  it("`rankcast load` under a launcher is a rank; rank 0 prints the report", async () => {
    const args = ["load", WEIGHTS, "--json", "--replicas-per-rank", "2", "--digest"];
    const results = await Promise.all(
      [0, 1].map((rank) => sandbox().run(args, { env: torchrunVariables(rank, 2, "scenario"), timeoutMs: BOUND_MS })),
    );
    expect(results.map(({ exitCode }) => exitCode)).to.deep.equal([0, 0]);
    expect(results[1]?.stdout).to.equal("");
    expect(expectReport(results[0]?.stdout ?? "").worldSize).to.equal(2);
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });
});
