/** Coordinators that programs start themselves, one per node of a job, with certificates, a token, or nothing but this machine between them. */
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Coordinator, type CoordinatorOptions, type CoordinatorTls, startCoordinator } from "@rankcast/coordinator";
import { expect } from "chai";
import { commandSandbox } from "../../support/command-sandbox.js";
import { expectError } from "../../support/expect-error.js";
import { EXPECTED, FIXTURES } from "../../support/fixtures.js";
import { freePort } from "../../support/launch-nodes.js";
import { hasOpenssl, makeCertificates } from "../../support/make-certificates.js";

const CHECKPOINT = "accepted/torch-zip/state_dict_t213.pt";
const RANK = fileURLToPath(new URL("../../scenario/programs/model-update.js", import.meta.url));
const truth = EXPECTED.get(CHECKPOINT)?.tensors?.map(({ name, sha256 }) => [name, sha256]);
/** Two nodes of two ranks and one. */
const WORLD = { worldSize: 3, nodes: 2 };
const LOCAL = [2, 1];

interface RankDocument {
  readonly identity: object;
  readonly loaded: unknown;
  readonly generations: readonly number[];
  readonly digest: string;
}

describe("startCoordinator", function () {
  this.timeout(120_000);
  const sandbox = commandSandbox();
  const open: Coordinator[] = [];
  afterEach(async () => {
    await Promise.all(open.splice(0).map((coordinator) => coordinator.close()));
  });

  async function start(options: CoordinatorOptions): Promise<Coordinator> {
    const coordinator = await startCoordinator({ joinTimeoutMs: 20_000, ...options });
    open.push(coordinator);
    return coordinator;
  }

  /** Both nodes' coordinators; node 1 is told the endpoint that node 0 has found. */
  async function startBoth(options: CoordinatorOptions): Promise<[Coordinator, Coordinator]> {
    const topologyOf = (nodeRank: number) => ({ ...WORLD, nodeRank, localWorldSize: LOCAL[nodeRank] ?? 1 });
    const head = await start({ ...options, topology: topologyOf(0) });
    const rdzvEndpoint = options.rdzvEndpoint === undefined ? {} : { rdzvEndpoint: head.endpoint ?? "" };
    return [head, await start({ ...options, ...rdzvEndpoint, topology: topologyOf(1) })];
  }

  /** The job's ranks, each a process: a strict load, an update from a rank of each node. */
  function runRanks(coordinators: readonly Coordinator[]): Promise<RankDocument[]> {
    const ranks = coordinators.flatMap(({ address, token, jobId }, nodeRank) => {
      const tokenFile = sandbox().write(`token-${nodeRank}`, token);
      chmodSync(tokenFile, 0o600);
      const localWorldSize = LOCAL[nodeRank] ?? 1;
      return Array.from({ length: localWorldSize }, (_, localRank) => {
        const rank = 2 * nodeRank + localRank;
        const env = {
          RANKCAST_RANK: `${rank}`,
          RANKCAST_WORLD_SIZE: `${WORLD.worldSize}`,
          RANKCAST_LOCAL_RANK: `${localRank}`,
          RANKCAST_LOCAL_WORLD_SIZE: `${localWorldSize}`,
          RANKCAST_NODE_RANK: `${nodeRank}`,
          RANKCAST_NODE_COUNT: `${WORLD.nodes}`,
          RANKCAST_JOB_ID: jobId,
          RANKCAST_COORDINATOR: address,
          RANKCAST_TOKEN_FILE: tokenFile,
        };
        return sandbox().start([RANK, FIXTURES + CHECKPOINT], { env }).ended;
      });
    });
    return Promise.all(
      ranks.map(async (ended) => {
        const { exitCode, stdout, stderr } = await ended;
        expect(exitCode, stderr).to.equal(0);
        return JSON.parse(stdout) as RankDocument;
      }),
    );
  }

  async function expectJob(options: CoordinatorOptions): Promise<void> {
    const both = await startBoth(options);
    const documents = await runRanks(both);
    for (const { joined } of both) {
      expect((await joined).map(({ nodeRank, ranks }) => [nodeRank, ranks])).to.deep.equal([
        [0, [0, 1]],
        [1, [2]],
      ]);
    }
    expect(documents.map(({ identity }) => identity)).to.deep.equal([
      { rank: 0, localRank: 0, nodeRank: 0, worldSize: 3, localWorldSize: 2 },
      { rank: 1, localRank: 1, nodeRank: 0, worldSize: 3, localWorldSize: 2 },
      { rank: 2, localRank: 0, nodeRank: 1, worldSize: 3, localWorldSize: 1 },
    ]);
    for (const { loaded, generations, digest } of documents) {
      expect(loaded).to.deep.equal(truth);
      expect(generations).to.deep.equal([0, 1, 1, 2, 2]);
      expect(digest).to.equal(documents[0]?.digest);
    }
    // In any order: each waits for the other.
    await Promise.all(open.splice(0).map((coordinator) => coordinator.close()));
    expect(await sandbox().leftovers()).to.deep.equal([]);
  }

  function certificatesOf(name: string): CoordinatorTls {
    const { certificate, key, authority } = makeCertificates(sandbox().directory, name);
    return { cert: certificate, key: key.toString(), ca: new Uint8Array(authority) };
  }

  it("two nodes with certificates load and update as one job", async function () {
    if (!hasOpenssl()) this.skip();
    await expectJob({ rdzvEndpoint: "127.0.0.1:0", tls: certificatesOf("ours") });
  });

  it("two nodes with a token, and two that share a machine and know nothing but the job's name", async () => {
    await expectJob({ bind: "127.0.0.1:0", token: "a secret of this job", rdzvEndpoint: "127.0.0.1:0" });
    await expectJob({ jobId: `job-${process.pid}` });
  });

  it("a node whose certificate is of another authority does not come in, nor one that has none", async function () {
    if (!hasOpenssl()) this.skip();
    const head = await start({
      topology: { ...WORLD, nodeRank: 0, localWorldSize: 2 },
      rdzvEndpoint: "127.0.0.1:0",
      tls: certificatesOf("ours"),
    });
    const topology = { ...WORLD, nodeRank: 1, localWorldSize: 1 };
    const rdzvEndpoint = head.endpoint ?? "";
    const error = await expectError(
      "RANKCAST_TOKEN_REFUSED",
      startCoordinator({ topology, rdzvEndpoint, tls: certificatesOf("strange"), joinTimeoutMs: 20_000 }),
    );
    expect(error.message).to.include(rdzvEndpoint);
    // Who speaks no TLS hears nothing but that.
    await expectError("RANKCAST_UNPROTECTED", startCoordinator({ topology, rdzvEndpoint, token: "a guess", joinTimeoutMs: 20_000 }));
  });

  it("nodes that do not come are named, and a job's ranks are counted", async () => {
    const rdzvEndpoint = `127.0.0.1:${await freePort()}`;
    const alone = await start({ topology: { ...WORLD, nodeRank: 0, localWorldSize: 2 }, rdzvEndpoint, joinTimeoutMs: 500 });
    const missing = await expectError("RANKCAST_NODES_MISSING", alone.joined);
    expect(missing.details["missing"]).to.deep.equal([{ nodeRank: 1, host: null }]);
    await alone.close();
    const token = "a secret";
    const of = (nodeRank: number) => ({ topology: { ...WORLD, nodeRank, localWorldSize: 1 }, rdzvEndpoint, token });
    const [head, member] = [await start(of(0)), await start(of(1))];
    for (const { joined } of [head, member]) await expectError("RANKCAST_TOPOLOGY", joined);
  });

  it("a node that closes while the job runs is lost to the others", async () => {
    const [head, member] = await startBoth({ rdzvEndpoint: "127.0.0.1:0", token: "a secret" });
    await Promise.all([head.joined, member.joined]);
    const ranks = expectRankError(head, 0);
    await member.close();
    const { code } = await ranks;
    expect(code).to.equal("RANKCAST_NODE_LOST");
  });

  /** The error of a rank that waits for others. */
  async function expectRankError({ address, token, jobId }: Coordinator, rank: number): Promise<{ code: string }> {
    const { joinGroup } = await import("@rankcast/worker");
    const environment = {
      RANKCAST_RANK: `${rank}`,
      RANKCAST_WORLD_SIZE: "3",
      RANKCAST_LOCAL_RANK: "0",
      RANKCAST_LOCAL_WORLD_SIZE: "2",
      RANKCAST_NODE_RANK: "0",
      RANKCAST_NODE_COUNT: "2",
      RANKCAST_JOB_ID: jobId,
    };
    await using group = await joinGroup({ environment, coordinator: address, token });
    return group.barrier("wait").then(
      () => ({ code: "nothing was refused" }),
      (error: { code: string }) => error,
    );
  }

  it("names what is wrong or missing", async () => {
    const topology = { ...WORLD, nodeRank: 0, localWorldSize: 2 };
    const rdzvEndpoint = "127.0.0.1:0";
    const wrong: [string, CoordinatorOptions][] = [
      ["rdzvEndpoint", { topology }],
      ["topology.nodeRank", { topology: { ...WORLD, localWorldSize: 2 }, rdzvEndpoint }],
      ["topology.nodeRank", { topology: { ...topology, nodeRank: 2 }, rdzvEndpoint }],
      // Three ranks are not as many on each of two nodes.
      ["topology.localWorldSize", { topology: { ...WORLD, nodeRank: 0 }, rdzvEndpoint }],
      ["worldSize", { topology: { worldSize: 1, nodes: 2, nodeRank: 0 }, rdzvEndpoint }],
      ["address of a node", { topology, rdzvEndpoint: "node-a" }],
      ["expected node 0's address", { topology, rdzvEndpoint: "0.0.0.0:29400", token: "x" }],
      ["expected node 0's address", { topology, rdzvEndpoint: "[::]:29400", token: "x" }],
      ["address", { topology, address: "127.0.0.1:1", rdzvEndpoint }],
      // One node has no network, so an address of one is a mistake.
      ["topology.nodes", { worldSize: 1, bind: "127.0.0.1:0" }],
      ["tls", { topology, rdzvEndpoint, tls: 3 as unknown as CoordinatorTls }],
      ["tls.cert", { topology, rdzvEndpoint, tls: {} as CoordinatorTls }],
      ["tls.cert", { topology, rdzvEndpoint, tls: { cert: "/etc/node.pem", key: "/etc/node.key", ca: "/etc/ca.pem" } }],
    ];
    if (hasOpenssl()) {
      const [ours, strange] = [certificatesOf("ours"), certificatesOf("strange")];
      wrong.push(["tls.key", { topology, rdzvEndpoint, tls: { ...ours, key: strange.key } }]);
      wrong.push(["tls.ca", { topology, rdzvEndpoint, tls: { ...ours, ca: join("no", "pem") } }]);
      wrong.push(["tls.key", { worldSize: 1, tls: { ...ours, key: ours.cert } }]);
    }
    for (const [name, options] of wrong) {
      const error = await expectError("RANKCAST_USAGE", startCoordinator(options));
      expect(`${error.message} ${error.remedy}`).to.include(name);
    }
    await expectError(
      "RANKCAST_UNPROTECTED",
      startCoordinator({ topology: { ...topology, nodeRank: 1 }, rdzvEndpoint: "203.0.113.7:1", joinTimeoutMs: 1 }),
    );
  });
});
