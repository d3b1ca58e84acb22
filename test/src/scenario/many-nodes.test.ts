/** Jobs of several nodes: launchers of their own on one machine, with nothing in common but a port. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { generateCheckpoint } from "@rankcast/bench/generated-checkpoint";
import { castTensor, StateDict, saveSafetensors, Tensor } from "@rankcast/core";
import { expect } from "chai";
import { type CommandResult, commandSandbox, RANKCAST } from "../support/command-sandbox.js";
import { expectFailure } from "../support/expect-failure.js";
import { expectReport, type ReportDocument } from "../support/expect-report.js";
import { EXPECTED, FIXTURES } from "../support/fixtures.js";
import { runNodes } from "../support/launch-nodes.js";
import { documentsOf, torchrunVariables } from "../support/launch-ranks.js";
import { originServer } from "../support/origin-server.js";

const CHECKPOINT = "accepted/torch-zip/state_dict_t213.pt";
const WEIGHTS = FIXTURES + CHECKPOINT;
const SAFETENSORS = `${FIXTURES}accepted/safetensors/library_mixed.safetensors`;
const CHECKPOINT_BYTES = 8 * 2 ** 20;
const program = (name: string): string => fileURLToPath(new URL(`programs/${name}.js`, import.meta.url));
const truth = EXPECTED.get(CHECKPOINT)?.tensors?.map(({ name, sha256 }) => [name, sha256]);

interface UpdateDocument {
  readonly identity: { readonly rank: number; readonly nodeRank: number; readonly localRank: number; readonly worldSize: number };
  readonly report: ReportDocument;
  readonly loaded: unknown;
  readonly generations: readonly number[];
  readonly biases: readonly (readonly number[])[];
  readonly digest: string;
}

describe("scenario: many nodes", function () {
  this.timeout(120_000);
  const sandbox = commandSandbox();
  const origin = originServer();

  function reportsOf(results: readonly CommandResult[]): ReportDocument[] {
    return results.map(({ exitCode, stdout, stderr }) => {
      expect(exitCode, stderr).to.equal(0);
      return expectReport(stdout);
    });
  }

  function expectSameEverywhere(report: ReportDocument, nodes: number, nprocPerNode: number): void {
    expect(report).to.include({ worldSize: nodes * nprocPerNode, nodes });
    expect(report.ranks.map(({ rank, nodeRank, localRank }) => [rank, nodeRank, localRank])).to.deep.equal(
      Array.from({ length: nodes * nprocPerNode }, (_, rank) => [rank, Math.floor(rank / nprocPerNode), rank % nprocPerNode]),
    );
    expect(new Set(report.ranks.flatMap(({ replicas }) => replicas.map(({ digest }) => digest))).size).to.equal(1);
  }

  it("three nodes cost the origin one download; every replica of every node has the same bytes, and updates reach all", async () => {
    const checkpoint = await generateCheckpoint(join(sandbox().directory, "model.pt"), CHECKPOINT_BYTES);
    const bytes = readFileSync(checkpoint.path);
    const url = origin().serve("/model.pt", bytes);
    // Each node has a cache of its own, as nodes without a common disk have.
    const envOf = (nodeRank: number) => ({ RANKCAST_HOME: join(sandbox().directory, `cache-${nodeRank}`) });
    const options = { nodes: 3, nprocPerNode: 2, unranked: true, envOf, flags: () => ["--link-connections", "3"] };
    const reports = reportsOf(await runNodes(sandbox(), "load", [url, "--digest", "--updates", "2"], options));
    expect(origin().requests.filter((line) => line.startsWith("GET"))).to.deep.equal(["GET /model.pt"]);
    expect(origin().bodyBytes).to.equal(bytes.length);
    const [report] = reports;
    if (!report) throw new Error("no report");
    expectSameEverywhere(report, 3, 2);
    expect(report.origin.bytesRead).to.equal(bytes.length);
    // The bytes are on every node once.
    expect(report.memory.sharedBytes).to.be.within(3 * 0.99 * CHECKPOINT_BYTES, 3 * 1.1 * CHECKPOINT_BYTES);
    for (const other of reports) expect(other).to.deep.equal(report);
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });

  it("casts are made once on each node, with the values of a replica's own", async function () {
    if (process.platform !== "linux") this.skip();
    const [rows, columns] = [512, 1024];
    const storedBytes = 2 * rows * columns;
    const values = new Float32Array(rows * columns).map((_, index) => Math.fround(((index * 2_654_435_761) % 65_521) / 65_521 - 0.5));
    const path = join(sandbox().directory, "half.safetensors");
    await saveSafetensors(path, new StateDict([["weight", castTensor(Tensor.from(values, [rows, columns]), "bfloat16")]]));
    const args = [path, "--dtype", "float32", "--digest", "--prefault"];
    const reports = reportsOf(await runNodes(sandbox(), "load", args, { nodes: 2, nprocPerNode: 2, unranked: true }));
    const [report] = reports;
    if (!report) throw new Error("no report");
    expectSameEverywhere(report, 2, 2);
    // The stored bytes and a cast of twice their size, on both nodes.
    expect(report.memory.sharedBytes).to.be.within(2 * 3 * storedBytes, 2 * 3 * storedBytes + 65_536);
    const own = await runNodes(sandbox(), "load", args, {
      nodes: 1,
      nprocPerNode: 1,
      unranked: true,
      envOf: () => ({ RANKCAST_NO_MMAP: "1" }),
    });
    const digestOf = ({ ranks }: ReportDocument): unknown => ranks[0]?.replicas[0]?.digest;
    expect(digestOf(report)).to.equal(reportsOf(own).map(digestOf)[0]);
  });

  it("a script's collectives span nodes: the fixture's own bytes, and updates from a rank of each node", async () => {
    const flags = (nodeRank: number) => ["--log-dir", join(sandbox().directory, `logs-${nodeRank}`), "--redirects", "1"];
    const results = await runNodes(sandbox(), "run", [program("model-update"), WEIGHTS], { nodes: 2, nprocPerNode: 2, flags });
    for (const { exitCode, stderr } of results) expect(exitCode, stderr).to.equal(0);
    const documents = [0, 1].flatMap((nodeRank) =>
      sandbox()
        .filesBelow(`logs-${nodeRank}`)
        .filter((path) => path.endsWith("stdout.log"))
        .map((path) => JSON.parse(sandbox().read(`logs-${nodeRank}/${path}`)) as UpdateDocument),
    );
    expect(documents.map(({ identity }) => [identity.rank, identity.nodeRank])).to.deep.equal([
      [0, 0],
      [1, 0],
      [2, 1],
      [3, 1],
    ]);
    for (const { loaded, generations, digest, biases } of documents) {
      expect(loaded).to.deep.equal(truth);
      expect(generations).to.deep.equal([0, 1, 1, 2, 2]);
      expect(digest).to.equal(documents[0]?.digest);
      expect(biases).to.deep.equal(documents[0]?.biases);
    }
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });

  it("once-per-node: every node reads for itself, and different files are an error that names the node", async () => {
    // The same relative path on every node, each in a folder of its own.
    const bytes = readFileSync(SAFETENSORS);
    const cwdOf = (nodeRank: number) => {
      const folder = join(sandbox().directory, `node-${nodeRank}`);
      mkdirSync(folder, { recursive: true });
      return folder;
    };
    for (const nodeRank of [0, 1]) writeFileSync(join(cwdOf(nodeRank), "model.safetensors"), bytes);
    const options = { nodes: 2, nprocPerNode: 1, cwdOf, flags: () => ["--fetch", "once-per-node", "--digest"] };
    const [report] = reportsOf(await runNodes(sandbox(), "load", ["model.safetensors"], options));
    if (!report) throw new Error("no report");
    expectSameEverywhere(report, 2, 1);

    // One bit of the last tensor.
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    writeFileSync(join(cwdOf(1), "model.safetensors"), bytes);
    for (const result of await runNodes(sandbox(), "load", ["model.safetensors"], options)) {
      const error = await expectFailure(result, sandbox());
      expect(error.code, error.message).to.equal("RANKCAST_NODES_DIFFER");
      expect(error.details["nodes"]).to.deep.equal([1]);
    }
  });

  describe("without a launcher of ours", () => {
    const torchrun = (rank: number): Record<string, string> => torchrunVariables(rank, 4, "nodes", 2);
    /** What mpirun gives to rank `rank` of two nodes with two ranks each. */
    const openMpi = (rank: number): Record<string, string> => ({
      OMPI_COMM_WORLD_RANK: String(rank),
      OMPI_COMM_WORLD_SIZE: "4",
      OMPI_COMM_WORLD_LOCAL_RANK: String(rank % 2),
      OMPI_COMM_WORLD_LOCAL_SIZE: "2",
      // Hosts of a test share one machine; what keeps them apart is the daemon that started the rank.
      OMPI_MCA_orte_local_daemon_uri: `1234.${Math.floor(rank / 2)};tcp://127.0.0.1:1`,
      PMIX_NAMESPACE: "1234",
    });

    for (const [launcher, variables] of [
      ["torchrun", torchrun],
      ["Open MPI", openMpi],
    ] as const) {
      it(`${launcher}: the nodes find each other, and their ranks learn where they are`, async () => {
        const commands = [0, 1, 2, 3].map((rank) => sandbox().start([program("model-update"), WEIGHTS], { env: variables(rank) }));
        const documents = documentsOf<UpdateDocument>(await Promise.all(commands.map(({ ended }) => ended)));
        expect(documents.map(({ identity }) => [identity.rank, identity.nodeRank])).to.deep.equal([
          [0, 0],
          [1, 0],
          [2, 1],
          [3, 1],
        ]);
        for (const { loaded, report } of documents) {
          expect(loaded).to.deep.equal(truth);
          expectSameEverywhere(report, 2, 2);
        }
        expect(await sandbox().leftovers()).to.deep.equal([]);
      });
    }
  });

  it("a single `rankcast load` under another launcher prints one report", async () => {
    const env = (rank: number) => ({
      RANK: String(rank),
      LOCAL_RANK: "0",
      WORLD_SIZE: "2",
      LOCAL_WORLD_SIZE: "1",
      MASTER_ADDR: "127.0.0.1",
      MASTER_PORT: "29500",
    });
    const commands = [0, 1].map((rank) => sandbox().start([RANKCAST, "load", WEIGHTS, "--json", "--digest"], { env: env(rank) }));
    const [first, second] = await Promise.all(commands.map(({ ended }) => ended));
    expect(second?.stdout).to.equal("");
    expect(expectReport(first?.stdout ?? "")).to.include({ worldSize: 2, nodes: 2 });
  });
});
