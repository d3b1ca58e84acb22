/** The real job over four hosts with limited links, encrypted, in network namespaces: `npm run test:cluster`. */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { generateCheckpoint } from "@rankcast/bench/generated-checkpoint";
import { expect } from "chai";
import { expectReport } from "../support/expect-report.js";
import { errorOf, type NetworkJob, PORT, startNetworkJob } from "../support/network-job.js";
import { NetworkNodes } from "../support/network-nodes.js";

const NODES = 4;
const RATE = "200mbit";
/** Sent in about 0.7 s over such a link: long enough to break in the middle. */
const WEIGHTS_MIB = 16;
/** Generous; one case waits for a minute, the time after which a node gives up that gets nothing. */
const BOUND_MS = 300_000;

describe("a job over hosts that are network namespaces", function () {
  this.timeout(BOUND_MS);
  const directory = mkdtempSync("/tmp/rcw-");
  const weights = join(directory, "model.pt");
  let nodes: NetworkNodes;
  let job: NetworkJob;
  before(async () => {
    await generateCheckpoint(weights, WEIGHTS_MIB * 2 ** 20);
  });
  beforeEach(() => {
    nodes = new NetworkNodes(NODES, RATE);
  });
  afterEach(() => {
    nodes.close();
    job.close();
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  const start = (...args: readonly string[]): NetworkJob => {
    job = startNetworkJob(nodes, weights, ["--nproc-per-node", "2", "--strict", "--digest", ...args]);
    return job;
  };

  const expectLoaded = (results: Awaited<ReturnType<NetworkJob["end"]>>): void => {
    for (const { exitCode, stderr } of results) expect(exitCode, stderr).to.equal(0);
    const report = expectReport(results[0]?.stdout ?? "");
    expect(report).to.include({ worldSize: 2 * NODES, nodes: NODES });
    const digests = report.ranks.flatMap(({ replicas }) => replicas.map(({ digest }) => digest));
    expect(digests).to.have.length(2 * NODES);
    expect(new Set(digests).size).to.equal(1);
  };

  it("loads the same weights everywhere; the file is read on one node only", async () => {
    const results = await start().end();
    expectLoaded(results);
    const { origin } = expectReport(results[0]?.stdout ?? "");
    expect(origin.bytesRead).to.be.below(1.05 * WEIGHTS_MIB * 2 ** 20);
  });

  for (const connections of ["1", "4"]) {
    it(`one packet in ten is lost on one node: slower, and right, over ${connections} connections per link`, async () => {
      nodes.lose(2, 10);
      expectLoaded(await start("--link-connections", connections).end());
    });
  }

  it("a cable that is out for a moment in the middle of the broadcast: nothing is lost", async () => {
    start("--link-connections", "4");
    await job.launchers[2]?.waitFor("receiving");
    nodes.cut(2);
    await setTimeout(1000);
    nodes.heal(2);
    expectLoaded(await job.end());
  });

  it("two neighbours in the chain that cannot reach each other: the bytes take another way", async () => {
    nodes.divide(2, 1, PORT);
    expectLoaded(await start().end());
  });

  it("a node that no other sends bytes to, for less than the bound: nothing is lost", async () => {
    start();
    await job.launchers[2]?.waitFor("receiving");
    nodes.leaveOnly(2, PORT);
    await setTimeout(5000);
    nodes.listen(2);
    expectLoaded(await job.end());
  });

  it("a node that no other sends bytes to, for longer than the bound: the load fails on all nodes alike and names it", async () => {
    start();
    await job.launchers[2]?.waitFor("receiving");
    nodes.leaveOnly(2, PORT);
    const errors = (await job.end()).map((result) => {
      expect(result.exitCode, result.stderr).to.equal(1);
      return errorOf(result);
    });
    // Whoever sent to it is the first to see it, and the link to the head was there all the time: all learn the same.
    for (const { code, details } of errors) {
      expect(code, JSON.stringify(errors)).to.be.oneOf(["RANKCAST_RECEIVER_STALLED", "RANKCAST_BROADCAST_STALLED"]);
      expect(details.rootCause).to.deep.equal(errors[0]?.details.rootCause);
    }
    expect(JSON.stringify(errors[0])).to.match(/node 2|"nodeRank":2/);
  });

  for (const [victim, place] of [
    [0, "the owner of the bytes, which is the head"],
    [2, "the middle of the chain"],
    [3, "the end of the chain"],
  ] as const) {
    it(`kill -9 of a whole node in the middle of the broadcast: ${place}`, async () => {
      start();
      await job.launchers[victim === 0 ? 2 : victim]?.waitFor("receiving");
      await setTimeout(200);
      nodes.crash(victim);
      const results = (await job.end()).filter((_, node) => node !== victim);
      for (const result of results) {
        expect(result.exitCode, result.stderr).to.equal(1);
        const { code, details } = errorOf(result);
        expect(code).to.equal(victim === 0 ? "RANKCAST_COORDINATOR_LOST" : "RANKCAST_NODE_LOST");
        expect(details.rootCause).to.include({ nodeRank: victim });
      }
    });
  }

  for (const [fault, strike] of [
    ["a cable that stays out", (node: number) => nodes.cut(node)],
    ["a node that hears nothing any more", (node: number) => nodes.deafen(node)],
  ] as const) {
    it(`${fault}: every node fails within the bound, and says which one it was`, async () => {
      start("--node-timeout", "5");
      await job.launchers[2]?.waitFor("receiving");
      strike(2);
      const results = await job.end();
      results.forEach(({ exitCode, seconds, stderr }, node) => {
        expect(exitCode, stderr).to.equal(1);
        expect(seconds, `node ${node}`).to.be.below(45);
      });
      for (const node of [0, 1, 3]) {
        const result = results[node];
        if (!result) throw new Error(`no result of node ${node}`);
        const error = errorOf(result);
        expect(error.class, JSON.stringify(error)).to.be.oneOf(["peer", "timeout"]);
        expect(JSON.stringify([error.message, error.details])).to.match(/node 2|"nodeRank":2/);
      }
    });
  }

  it("a launcher that is killed: the others fail alike and name its node", async () => {
    start();
    await job.launchers[3]?.waitFor("receiving");
    process.kill(-(job.launchers[3]?.pid ?? 0), "SIGKILL");
    const results = await job.end();
    for (const node of [0, 1, 2]) {
      const result = results[node];
      if (!result) throw new Error(`no result of node ${node}`);
      expect(result.exitCode, result.stderr).to.equal(1);
      expect(errorOf(result).details.rootCause ?? errorOf(result)).to.satisfy((cause: unknown) =>
        /"nodeRank":3|node 3/.test(JSON.stringify(cause)),
      );
    }
  });

  it("a node with another token joins nothing: it is told so at once, the others wait for it and name it", async () => {
    start("--join-timeout", "12");
    // The file is the job's own; one node reads another one.
    const results = await job.end();
    for (const { exitCode, stderr } of results) expect(exitCode, stderr).to.equal(0);
    job.close();
    job = startNetworkJob(nodes, weights, ["--nproc-per-node", "1", "--join-timeout", "12"], { strangerNode: 3 });
    const refused = await job.end();
    const stranger = refused[3];
    const head = refused[0];
    if (!stranger || !head) throw new Error("a node gave no result");
    expect(errorOf(stranger)).to.include({ code: "RANKCAST_TOKEN_REFUSED", class: "auth" });
    expect(errorOf(head)).to.include({ code: "RANKCAST_NODES_MISSING" });
    expect(errorOf(head).message).to.contain("node rank 3");
  });
});
