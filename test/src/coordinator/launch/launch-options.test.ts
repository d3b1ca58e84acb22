/** Options of a launch: every flag, every variable, every refusal. */
import { fileURLToPath } from "node:url";
import { type LaunchOptions, RUN_FLAGS } from "@rankcast/coordinator";
import { compileLaunchOptions, parseStreamSelection, readLinkConnections } from "@rankcast/coordinator/internal";
import { UsageError } from "@rankcast/core";
import type { HostFacts, ProcessVariables } from "@rankcast/core/internal";
import { expect } from "chai";

const SCRIPT = fileURLToPath(import.meta.url);
const FACTS: HostFacts = { hostname: "h", cpuCount: 6, acceleratorCount: 0, nodeKey: "k" };

function compile(options: Partial<LaunchOptions> = {}, variables: ProcessVariables = {}, facts: Partial<HostFacts> = {}) {
  return compileLaunchOptions({ script: SCRIPT, ...options }, variables, { ...FACTS, ...facts });
}

describe("launch options", () => {
  it("have torchrun's defaults", () => {
    expect(compile()).to.deep.include({
      ...{ nprocPerNode: 1, nodeCount: 1, nodeRank: 0, rendezvous: null, masterAddr: "127.0.0.1", masterPort: 29500, runId: null },
      ...{
        maxRestarts: 0,
        role: "default",
        logDir: null,
        noNode: false,
        standalone: false,
        graceMs: 30_000,
        keepsOutput: false,
        shown: null,
      },
      signals: ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"],
    });
  });

  it("come from PET_* variables unless they are given", () => {
    const variables = { PET_NPROC_PER_NODE: "3", PET_MAX_RESTARTS: "2", PET_STANDALONE: "1", PET_ROLE: "", PET_TEE: "3" };
    const compiled = compile({ maxRestarts: 5 }, variables);
    expect(compiled).to.deep.include({
      nprocPerNode: 3,
      maxRestarts: 5,
      standalone: true,
      masterPort: 0,
      role: "default",
      keepsOutput: true,
    });
    expect(compiled.tee(7)).to.deep.equal({ stdout: true, stderr: true });
  });

  it("take connections per link, or leave them to the plan", () => {
    expect(compile({}).linkConnections).to.equal(null);
    expect(compile({ linkConnections: 3 }).linkConnections).to.equal(3);
    expect(compile({}, { PET_LINK_CONNECTIONS: "2" }).linkConnections).to.equal(2);
    for (const wrong of [0, 17, "many"]) expect(() => compile({ linkConnections: wrong })).to.throw(/--link-connections: expected/);
    expect(readLinkConnections({})).to.equal(null);
    expect(readLinkConnections({ RANKCAST_LINK_CONNECTIONS: "5" })).to.equal(5);
    for (const wrong of ["0", "17", "-1", "2.5", "x"]) {
      expect(() => readLinkConnections({ RANKCAST_LINK_CONNECTIONS: wrong }), wrong).to.throw(/from 1 to 16/);
    }
  });

  for (const [text, facts, expected] of [
    ["auto", {}, 6],
    ["auto", { acceleratorCount: 2 }, 2],
    ["cpu", { acceleratorCount: 2 }, 6],
    ["gpu", { acceleratorCount: 2 }, 2],
    ["8", {}, 8],
    [4, {}, 4],
  ] as const) {
    it(`count ${text} ranks as ${expected} with ${JSON.stringify(facts)}`, () => {
      expect(compile({ nprocPerNode: text }, {}, facts).nprocPerNode).to.equal(expected);
    });
  }

  it("find node 0", () => {
    const two = { nnodes: "2:2", nodeRank: 1 } as const;
    expect(compile({ ...two, rdzvEndpoint: "head" })).to.deep.include({
      rendezvous: { host: "head", port: 29400 },
      masterAddr: "head",
      nodeRank: 1,
    });
    expect(compile({ ...two, rdzvEndpoint: "[fd00::1]:7" }).rendezvous).to.deep.equal({ host: "fd00::1", port: 7 });
    const addressed = compile({ ...two, masterAddr: "[fd00::2]", masterPort: "8" });
    expect(addressed).to.deep.include({ rendezvous: { host: "fd00::2", port: 29400 }, masterAddr: "fd00::2", masterPort: 8 });
    expect(compile({ nnodes: 2, rdzvEndpoint: "head" }).nodeRank).to.equal(null);
    expect(compile({ rdzvEndpoint: "head:0", standalone: true }).rendezvous).to.equal(null);
  });

  it("take executables as they are with noNode", () => {
    expect(compile({ script: "python3", noNode: true })).to.include({ script: "python3", noNode: true });
  });

  for (const [options, source] of [
    [{ nprocPerNode: 0 }, "--nproc-per-node"],
    [{ nprocPerNode: "two" }, "--nproc-per-node"],
    [{ nprocPerNode: "gpu" }, "--nproc-per-node"],
    [{ nprocPerNode: 1.5 }, "--nproc-per-node"],
    [{ nnodes: "1:4" }, "--nnodes"],
    [{ nnodes: "1:1:1" }, "--nnodes"],
    [{ nnodes: 2 }, "--rdzv-endpoint"],
    [{ nnodes: 2, masterAddr: "h", nodeRank: 2 }, "--node-rank"],
    [{ nnodes: 2, standalone: true }, "--standalone"],
    [{ rdzvEndpoint: "a:b:c" }, "--rdzv-endpoint"],
    [{ rdzvEndpoint: "h:70000" }, "--rdzv-endpoint"],
    [{ rdzvBackend: "etcd" }, "--rdzv-backend"],
    [{ rdzvId: "a/b" }, "--rdzv-id"],
    [{ masterPort: -1 }, "--master-port"],
    [{ maxRestarts: "-1" }, "--max-restarts"],
    [{ redirects: "4" }, "--redirects"],
    [{ tee: "0:1,x" }, "--tee"],
    [{ localRanksFilter: "0,a" }, "--local-ranks-filter"],
    [{ role: "a b" }, "--role"],
    [{ signalsToHandle: "SIGKILL" }, "--signals-to-handle"],
    [{ signalsToHandle: "TERM" }, "--signals-to-handle"],
    [{ graceSeconds: "soon" }, "--grace-seconds"],
    [{ noNode: "perhaps" }, "--no-node"],
    [{ script: "no-such-file.js" }, "script"],
    [{ script: "" }, "script"],
  ] as const) {
    it(`refuse ${JSON.stringify(options)}, naming ${source}`, () => {
      const refused = () => compile(options);
      expect(refused).to.throw(UsageError, source).with.nested.property("details.option", source);
    });
  }

  it("name the variable when it is at fault", () => {
    expect(() => compile({}, { PET_MAX_RESTARTS: "many" })).to.throw(UsageError, "PET_MAX_RESTARTS");
    expect(() => compile({ nnodes: "2", masterAddr: "h" }, { PET_NODE_RANK: "5" })).to.throw(UsageError, "PET_NODE_RANK");
  });
});

describe("run flags", () => {
  it("have torchrun's names in both spellings, and its variables", () => {
    const rows = new Map(RUN_FLAGS.map((row) => [row.option, row]));
    expect(rows.get("nprocPerNode")).to.include({ flag: "--nproc-per-node", variable: "PET_NPROC_PER_NODE", fallback: "1", value: "N" });
    expect(rows.get("nprocPerNode")?.aliases).to.deep.equal(["--nproc_per_node"]);
    expect(rows.get("noNode")?.aliases).to.deep.equal(["--no_node", "--no-python", "--no_python"]);
    expect(rows.get("nnodes")?.aliases).to.deep.equal([]);
    expect(rows.get("tee")).to.include({ short: "-t" });
    expect(rows.get("standalone")).to.not.have.property("value");
    expect(new Set(RUN_FLAGS.flatMap((row) => [row.flag, row.variable, ...row.aliases])).size).to.be.greaterThan(2 * RUN_FLAGS.length);
  });
});

describe("stream selection", () => {
  it("understands digits and pairs", () => {
    expect(parseStreamSelection("1", "-r")(5)).to.deep.equal({ stdout: true, stderr: false });
    const pairs = parseStreamSelection("0:2,12:3", "-r");
    expect([pairs(0), pairs(1), pairs(12)]).to.deep.equal([
      { stdout: false, stderr: true },
      { stdout: false, stderr: false },
      { stdout: true, stderr: true },
    ]);
  });
});
