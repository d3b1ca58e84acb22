/** Jobs of several nodes that read a part of a remote file each and exchange the parts. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { digestStateDict, type PlanReport, StateDict, saveSafetensors, saveTorch, Tensor } from "@rankcast/core";
import { expect } from "chai";
import { type CommandResult, commandSandbox } from "../support/command-sandbox.js";
import { expectFailure } from "../support/expect-failure.js";
import { expectReport } from "../support/expect-report.js";
import { runNodes } from "../support/launch-nodes.js";
import { originServer } from "../support/origin-server.js";
import { type ProxyServer, startProxy } from "../support/proxy-server.js";
import { randomBytes } from "../support/random-bytes.js";

const NODES = 3;
/** How the second node's requests can be told from the first one's. */
const LAST = "1";
const STRIPED = ["--limit", "stripeBytesMin=1000000"];
/** Of each node: the beginning of the file, what lists its records, what lies around them. */
const HEADER_BYTES = 200 * 1024;

/** Sizes that leave gaps between storages, and many that are smaller than a request is worth. */
function stateDictOf(seed: number): StateDict {
  const stateDict = new StateDict();
  const add = (name: string, count: number): void => {
    const bytes = randomBytes(4 * count, seed + stateDict.size);
    // The same exponent everywhere: finite numbers.
    for (let at = 3; at < bytes.length; at += 4) bytes[at] = 0x3f;
    stateDict.set(name, Tensor.from(new Float32Array(Uint8Array.from(bytes).buffer), [count]));
  };
  for (let index = 0; index < 6; index += 1) add(`large.${index}`, 500_003 + 1001 * index);
  for (let index = 0; index < 50; index += 1) add(`small.${index}`, 17 + index);
  return stateDict;
}

describe("scenario: striped origin reads", function () {
  this.timeout(120_000);
  const sandbox = commandSandbox();
  const origin = originServer();
  let proxies: ProxyServer[];
  beforeEach(async () => {
    proxies = await Promise.all(Array.from({ length: NODES }, (_, node) => startProxy(undefined, { via: String(node) })));
  });
  afterEach(async () => {
    for (const proxy of proxies) await proxy.close();
  });

  async function write(format: "pt" | "safetensors", stateDict: StateDict): Promise<Buffer> {
    const path = join(sandbox().directory, `written.${format}`);
    await (format === "pt" ? saveTorch(path, stateDict) : saveSafetensors(path, stateDict));
    return readFileSync(path);
  }

  /** Every node has a cache and a way to the origin of its own. */
  function load(url: string, flags: readonly string[] = STRIPED, nodes = NODES): Promise<CommandResult[]> {
    const envOf = (nodeRank: number) => ({
      RANKCAST_HOME: join(sandbox().directory, `cache-${nodeRank}`),
      http_proxy: proxies[nodeRank]?.url ?? "",
      no_proxy: "",
    });
    return runNodes(sandbox(), "load", [url, "--digest", ...flags], { nodes, nprocPerNode: 1, envOf });
  }

  for (const format of ["pt", "safetensors"] as const) {
    it(`${format}: each node reads a third, every byte once, and all have the whole`, async () => {
      const stateDict = stateDictOf(7);
      const bytes = await write(format, stateDict);
      const url = origin().serve(`/model.${format}`, bytes);
      const planned = await sandbox().run(["plan", url, "--nnodes", String(NODES), ...STRIPED, "--json"]);
      const { owners } = JSON.parse(planned.stdout) as PlanReport;
      const before = origin().bodyBytes;
      origin().ranges.length = 0;
      const results = await load(url);
      for (const { exitCode, stdout, stderr } of results) {
        expect(exitCode, stderr).to.equal(0);
        const report = expectReport(stdout);
        expect(report).to.include({ nodes: NODES, bytes: bytes.length });
        expect(report.ranks.flatMap(({ replicas }) => replicas.map(({ digest }) => digest))).to.deep.equal(
          Array.from({ length: NODES }, () => digestStateDict(stateDict)),
        );
        expect(report.origin.bytesRead).to.equal(origin().bodyBytes - before);
      }
      const times = new Uint8Array(bytes.length);
      for (const [begin, end] of origin().ranges) for (let at = begin; at < end; at += 1) times[at] = (times[at] ?? 0) + 1;
      expect(times.includes(0), "a byte that nobody read").to.equal(false);
      expect(origin().bodyBytes - before - bytes.length).to.be.within(0, NODES * HEADER_BYTES);
      proxies.forEach((proxy, node) => {
        expect(proxy.bodyBytes() / bytes.length).to.be.within(0.25, 0.42);
        // As `plan` has said, and headers.
        expect(proxy.bodyBytes() - (owners[node]?.bytes ?? 0)).to.be.within(0, HEADER_BYTES);
      });
      expect(await sandbox().leftovers()).to.deep.equal([]);
    });
  }

  it("a damaged record that another node has read fails the load on every rank", async () => {
    const bytes = await write("pt", stateDictOf(8));
    // The last third of the file is not the head's.
    const at = bytes.length - 1_000_000;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    for (const result of await load(origin().serve("/model.pt", bytes))) {
      expect((await expectFailure(result, sandbox())).code).to.equal("RANKCAST_CHECKSUM");
    }
    expect(origin().bodyBytes).to.be.below(bytes.length + NODES * HEADER_BYTES);
  });

  it("a node that sees another version is named", async () => {
    const bytes = await write("safetensors", stateDictOf(9));
    const url = origin().route("/model.safetensors", (request, response) =>
      origin().sendBytes(request, response, bytes, request.headers["via"] === LAST ? '"two"' : '"one"'),
    );
    for (const result of await load(url, STRIPED, 2)) {
      const error = await expectFailure(result, sandbox());
      expect(error.code, error.message).to.equal("RANKCAST_NODES_DIFFER");
      expect(error.details["nodes"]).to.deep.equal([1]);
    }
  });

  it("a node whose part the origin refuses is the root cause for all", async () => {
    const bytes = await write("safetensors", stateDictOf(10));
    const url = origin().route("/model.safetensors", (request, response) => {
      const opens = request.headers.range === undefined || request.headers.range.startsWith("bytes=0-");
      if (request.headers["via"] === LAST && !opens) response.writeHead(403).end();
      else origin().sendBytes(request, response, bytes);
    });
    for (const result of await load(url, STRIPED, 2)) {
      const error = await expectFailure(result, sandbox());
      expect(error.code, error.message).to.equal("RANKCAST_HTTP_AUTH");
      expect(error.details.rootCause).to.include({ nodeRank: 1 });
    }
  });

  it("one node reads the whole file where the server has no ranges", async () => {
    const stateDict = stateDictOf(11);
    const bytes = await write("pt", stateDict);
    const url = origin().route("/whole.pt", (request, response) => {
      response.writeHead(200, { "content-length": bytes.length, etag: '"whole"' });
      response.end(request.method === "HEAD" ? undefined : bytes);
    });
    for (const { exitCode, stdout, stderr } of await load(url, STRIPED, 2)) {
      expect(exitCode, stderr).to.equal(0);
      const report = expectReport(stdout);
      expect(report.origin.bytesRead).to.equal(bytes.length);
      expect(report.ranks[1]?.replicas[0]?.digest).to.equal(digestStateDict(stateDict));
    }
    expect(origin().requests).to.deep.equal(["HEAD /whole.pt", "GET /whole.pt"]);
  });

  it("one node reads the whole file where headers lie all over it", async () => {
    const stateDict = new StateDict();
    for (let index = 0; index < 3000; index += 1) stateDict.set(`small.${index}`, Tensor.from(new Float32Array(300).fill(index), [300]));
    const bytes = await write("pt", stateDict);
    for (const { exitCode, stdout, stderr } of await load(origin().serve("/small.pt", bytes), STRIPED, 2)) {
      expect(exitCode, stderr).to.equal(0);
      const report = expectReport(stdout);
      expect(report.origin.bytesRead).to.equal(origin().bodyBytes);
      expect(report.ranks[1]?.replicas[0]?.digest).to.equal(digestStateDict(stateDict));
    }
    expect(proxies[1]?.seen).to.deep.equal([]);
  });
});
