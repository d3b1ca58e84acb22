/** What happens to a job of several nodes when something dies, stops or is started the wrong way: the same typed error everywhere. */
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { commandSandbox, RANKCAST, type RunningCommand } from "../support/command-sandbox.js";
import { type ErrorDocument, expectFailure } from "../support/expect-failure.js";
import { FIXTURES } from "../support/fixtures.js";
import { freePort, type NodesOptions, startNodes } from "../support/launch-nodes.js";
import { torchrunVariables } from "../support/launch-ranks.js";

const HOLD = fileURLToPath(new URL("programs/hold-nodes.js", import.meta.url));
const WEIGHTS = `${FIXTURES}accepted/torch-zip/state_dict_t213.pt`;
/** Enough for a machine that does other things too; the figures are measured in bench. */
const BOUND_MS = 30_000;

/** What a rank of `hold-nodes` says. */
interface Line {
  readonly rank: number;
  readonly pid: number;
  readonly nodeRank: number;
  readonly holds?: boolean;
  readonly attempt?: string;
  readonly epoch?: string;
  readonly code?: string;
  readonly class?: string;
  readonly details?: object;
  readonly rootCause?: { readonly rank: number | null; readonly nodeRank: number; readonly pid: number };
}

describe("scenario: many nodes, failures", function () {
  this.timeout(4 * BOUND_MS);
  const sandbox = commandSandbox();

  const linesOf = (stderr: string): Line[] => [...stderr.matchAll(/@(\{.*\})$/gm)].map(([, json]) => JSON.parse(json ?? "") as Line);

  /** Two nodes of two ranks that hold until the job fails; `pids` by rank. */
  async function hold(options: Partial<NodesOptions> = {}): Promise<{ nodes: RunningCommand[]; pids: number[] }> {
    const nodes = await startNodes(sandbox(), "run", [HOLD], { nodes: 2, nprocPerNode: 2, timeoutMs: BOUND_MS, ...options });
    const pids: number[] = [];
    for (const [rank, node] of [0, 1, 2, 3].map((each) => [each, nodes[Math.floor(each / 2)]] as const)) {
      await node?.waitForStderr(`"rank":${rank},`);
      await node?.waitForStderr('"holds":true');
    }
    for (const node of nodes) for (const { rank, pid, holds } of linesOf(node.stderr())) if (holds) pids[rank] = pid;
    return { nodes, pids };
  }

  async function failureOf(node: RunningCommand | undefined): Promise<{ error: ErrorDocument; lines: Line[] }> {
    const result = await node?.ended;
    if (!result) throw new Error("no such node");
    return { error: await expectFailure(result, sandbox()), lines: linesOf(result.stderr).filter(({ code }) => code !== undefined) };
  }

  it("kill -9 of a rank: every other rank of every node, and both launchers, name it", async () => {
    const { nodes, pids } = await hold();
    process.kill(pids[3] ?? 0, "SIGKILL");
    const [head, other] = await Promise.all(nodes.map(failureOf));
    for (const failure of [head, other]) {
      expect(failure?.error.code).to.equal("RANKCAST_RANK_LOST");
      expect(failure?.error.details.rootCause).to.include({ rank: 3, nodeRank: 1, pid: pids[3] });
    }
    const lines = [...(head?.lines ?? []), ...(other?.lines ?? [])];
    expect(lines.map(({ rank }) => rank).sort()).to.deep.equal([0, 1, 2]);
    for (const { code, rootCause } of lines) {
      expect(code).to.equal("RANKCAST_RANK_LOST");
      expect(rootCause).to.include({ rank: 3, nodeRank: 1, pid: pids[3] });
    }
  });

  it("kill -9 of a node's launcher: the node's ranks end with it, and everybody else names the node", async () => {
    const { nodes } = await hold();
    nodes[1]?.kill("SIGKILL");
    const { error, lines } = await failureOf(nodes[0]);
    expect(error.code, error.message).to.equal("RANKCAST_NODE_LOST");
    expect(error.details.rootCause).to.include({ nodeRank: 1, pid: nodes[1]?.pid });
    expect(lines.map(({ rank }) => rank).sort()).to.deep.equal([0, 1]);
    for (const { code, rootCause } of lines) {
      expect(code).to.equal("RANKCAST_NODE_LOST");
      expect(rootCause).to.include({ nodeRank: 1, pid: nodes[1]?.pid });
    }
  });

  it("kill -9 of the head's launcher: the others cannot learn what it had decided, and say whom they lost", async () => {
    const { nodes } = await hold();
    nodes[0]?.kill("SIGKILL");
    const { error, lines } = await failureOf(nodes[1]);
    expect(error.code, error.message).to.equal("RANKCAST_COORDINATOR_LOST");
    expect(error.details.rootCause).to.include({ nodeRank: 0, pid: nodes[0]?.pid });
    expect(lines.map(({ rank }) => rank).sort()).to.deep.equal([2, 3]);
    for (const { code, rootCause, class: kind } of lines) {
      expect([code, kind]).to.deep.equal(["RANKCAST_COORDINATOR_LOST", "coordinator-lost"]);
      expect(rootCause).to.include({ nodeRank: 0, pid: nodes[0]?.pid });
    }
  });

  it("SIGSTOP of a node's launcher: the node is given up after its silence, and does not come back", async () => {
    const { nodes } = await hold({ flags: () => ["--node-timeout", "4"] });
    const stopped = nodes[1];
    stopped?.kill("SIGSTOP");
    const result = await nodes[0]?.ended;
    stopped?.kill("SIGCONT");
    const late = await stopped?.ended;
    expect(late?.exitCode, late?.stderr).to.equal(1);
    const error = await expectFailure(result ?? { exitCode: null, signal: null, stdout: "", stderr: "" }, sandbox());
    expect(error.code, error.message).to.equal("RANKCAST_NODE_LOST");
    expect(error.details.rootCause).to.include({ nodeRank: 1, pid: stopped?.pid });
  });

  it("SIGSTOP of the head's launcher: the others give it up", async () => {
    const { nodes } = await hold({ flags: () => ["--node-timeout", "4"] });
    nodes[0]?.kill("SIGSTOP");
    const result = await nodes[1]?.ended;
    nodes[0]?.kill("SIGCONT");
    await nodes[0]?.ended;
    const error = await expectFailure(result ?? { exitCode: null, signal: null, stdout: "", stderr: "" }, sandbox());
    expect(error.code, error.message).to.equal("RANKCAST_COORDINATOR_LOST");
    expect(error.details.rootCause).to.include({ nodeRank: 0, pid: nodes[0]?.pid });
  });

  it("SIGTERM to one launcher ends the job on all nodes", async () => {
    const { nodes } = await hold();
    nodes[1]?.kill("SIGTERM");
    expect((await nodes[1]?.ended)?.exitCode).to.equal(143);
    const result = await nodes[0]?.ended;
    // As the one that was interrupted: 143. Unless its ranks have failed first, for the others were ended.
    expect(result?.exitCode, result?.stderr).to.be.oneOf([143, 1]);
    expect(result?.stderr).to.match(/RANKCAST_INTERRUPTED|RANKCAST_RANK_LOST/);
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });

  it("an error of one rank restarts all nodes, with a larger epoch, up to --max-restarts", async () => {
    const options = { nodes: 2, nprocPerNode: 2, flags: () => ["--max-restarts", "1"], timeoutMs: BOUND_MS };
    const nodes = await startNodes(sandbox(), "run", [HOLD, "flaky"], options);
    const results = await Promise.all(nodes.map(({ ended }) => ended));
    const lines = results.flatMap(({ exitCode, stderr }) => {
      expect(exitCode, stderr).to.equal(0);
      return linesOf(stderr).filter(({ holds }) => holds);
    });
    const ofAttempt = (attempt: string) => lines.filter((line) => line.attempt === attempt);
    for (const attempt of ["0", "1"])
      expect(
        ofAttempt(attempt)
          .map(({ rank }) => rank)
          .sort(),
      ).to.deep.equal([0, 1, 2, 3]);
    const epochs = ["0", "1"].map((attempt) => new Set(ofAttempt(attempt).map(({ epoch }) => Number(epoch))));
    expect(epochs.map(({ size }) => size)).to.deep.equal([1, 1]);
    expect(Math.max(...(epochs[1] ?? []))).to.be.above(Math.max(...(epochs[0] ?? [])));
    const failed = results.flatMap(({ stderr }) => linesOf(stderr).filter(({ code }) => code !== undefined));
    for (const { rank, rootCause } of failed) if (rank !== 1) expect(rootCause?.rank).to.equal(1);
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });

  it("weights that are not there fail the load on every node alike", async () => {
    const missing = join(sandbox().directory, "missing.pt");
    for (const fetch of ["once-per-job", "shared-fs"]) {
      const options = { nodes: 2, nprocPerNode: 1, flags: () => ["--fetch", fetch], timeoutMs: BOUND_MS };
      const nodes = await startNodes(sandbox(), "load", [missing], options);
      const [first, second] = await Promise.all(nodes.map(failureOf));
      expect(first?.error.class).to.equal("not-found");
      expect(second?.error).to.deep.include({ code: first?.error.code, class: "not-found" });
      expect(second?.error.details.rootCause).to.deep.equal(first?.error.details.rootCause);
    }
  });

  describe("without a launcher of ours, where local rank 0 coordinates its node", () => {
    const variables = (rank: number) => torchrunVariables(rank, 4, "failures", 2);

    /** Kills one rank; what the others say, by rank. */
    async function killOf(victim: number): Promise<Map<number, Line>> {
      const ranks = [0, 1, 2, 3].map((rank) => sandbox().start([HOLD], { env: variables(rank), timeoutMs: BOUND_MS }));
      for (const rank of ranks) await rank.waitForStderr('"holds":true');
      ranks[victim]?.kill("SIGKILL");
      const said = await Promise.all(
        ranks.map(async ({ ended }) => linesOf((await ended).stderr).filter(({ code }) => code !== undefined)),
      );
      return new Map(said.flat().map((line) => [line.rank, line]));
    }

    it("a rank that is never started: its node says which local rank is missing, and when the join timeout is over nobody waits", async () => {
      const env = { RANKCAST_JOIN_TIMEOUT: "3" };
      const ranks = [0, 2, 3].map((rank) => sandbox().start([HOLD], { env: { ...variables(rank), ...env }, timeoutMs: BOUND_MS }));
      const said = await Promise.all(ranks.map(async ({ ended }) => linesOf((await ended).stderr)));
      const [alone, ...others] = said.map((lines) => lines.find(({ code }) => code !== undefined));
      expect(alone).to.include({ code: "RANKCAST_RANKS_MISSING", class: "timeout" });
      expect(alone?.details).to.deep.include({ missingLocalRanks: [1], joinedRanks: [0] });
      // What the others did not find is the head, for that node never opened it.
      for (const other of others) expect(other?.code).to.equal("RANKCAST_COORDINATOR_UNREACHABLE");
    });

    it("kill -9 of a relay: other nodes name the rank, its neighbour has lost its coordinator", async () => {
      const lines = await killOf(2);
      for (const rank of [0, 1]) {
        expect(lines.get(rank)?.code).to.equal("RANKCAST_RANK_LOST");
        expect(lines.get(rank)?.rootCause).to.include({ rank: 2, nodeRank: 1 });
      }
      expect(lines.get(3)?.code).to.equal("RANKCAST_COORDINATOR_LOST");
    });

    it("kill -9 of the head: everybody has lost the coordinator, other nodes say which", async () => {
      const lines = await killOf(0);
      expect(lines.get(1)?.code).to.equal("RANKCAST_COORDINATOR_LOST");
      for (const rank of [2, 3]) {
        expect(lines.get(rank)?.code).to.equal("RANKCAST_COORDINATOR_LOST");
        expect(lines.get(rank)?.rootCause).to.include({ nodeRank: 0 });
      }
    });
  });

  describe("started the wrong way", () => {
    const load = (flags: readonly string[], env: Readonly<Record<string, string>> = {}): RunningCommand =>
      sandbox().start(
        [RANKCAST, "load", WEIGHTS, "--json", ...(flags.includes("--join-timeout") ? [] : ["--join-timeout", "4"]), ...flags],
        { env, timeoutMs: BOUND_MS },
      );

    async function codesOf(commands: readonly RunningCommand[]): Promise<(string | number | null)[]> {
      const results = await Promise.all(commands.map(({ ended }) => ended));
      return results.map(({ exitCode, stderr }) => {
        const last = stderr.trimEnd().split("\n").at(-1) ?? "";
        return exitCode === 0 ? 0 : (JSON.parse(last) as { error: ErrorDocument }).error.code;
      });
    }

    it("a node that does not come is named by its rank", async () => {
      const endpoint = `127.0.0.1:${await freePort()}`;
      const nodes = ["0", "2"].map((rank) => load(["--nnodes", "3", "--rdzv-endpoint", endpoint, "--node-rank", rank]));
      const failures = await Promise.all(nodes.map(failureOf));
      for (const { error } of failures) {
        expect(error.code).to.equal("RANKCAST_NODES_MISSING");
        expect(error.message).to.contain("node rank 1");
      }
    });

    it("two nodes of one rank, another number of nodes, and a node too many are refused; the job goes on", async () => {
      const endpoint = `127.0.0.1:${await freePort()}`;
      const flags = (rank: string, nnodes = "2") => ["--nnodes", nnodes, "--rdzv-endpoint", endpoint, "--node-rank", rank];
      const head = load(["--join-timeout", "30", ...flags("0")]);
      await head.waitForStderr("waiting for nodes");
      const miscounted = load(flags("1", "3"));
      expect(await codesOf([miscounted])).to.deep.equal(["RANKCAST_NODE_COUNT"]);
      const twice = [load(flags("1")), load(flags("1"))];
      const codes = await codesOf([head, ...twice]);
      expect(codes[0]).to.equal(0);
      expect(codes.slice(1)).to.include(0);
      expect(codes.slice(1).find((code) => code !== 0)).to.be.oneOf([
        "RANKCAST_DUPLICATE_NODE",
        "RANKCAST_JOB_FULL",
        "RANKCAST_COORDINATOR_UNREACHABLE",
      ]);
    });

    it("without a secret no other machine is talked to, and nobody waits for one", async () => {
      // An address of RFC 5737's documentation networks: certainly another machine.
      const flags = ["--nnodes", "2", "--rdzv-endpoint", "192.0.2.1:29400", "--join-timeout", "30", "--node-rank", "1"];
      const startMs = performance.now();
      expect(await codesOf([load(flags)])).to.deep.equal(["RANKCAST_UNPROTECTED"]);
      expect(performance.now() - startMs).to.be.below(20_000);
    });

    it("two jobs on one port, and a wrong token", async () => {
      const endpoint = `127.0.0.1:${await freePort()}`;
      const flags = (rank: string, id: string) => ["--nnodes", "2", "--rdzv-endpoint", endpoint, "--node-rank", rank, "--rdzv-id", id];
      const secret = { RANKCAST_TOKEN_FILE: sandbox().write("token", "the job's own secret") };
      const other = { RANKCAST_TOKEN_FILE: sandbox().write("other", "another secret") };
      for (const { RANKCAST_TOKEN_FILE: file } of [secret, other]) chmodSync(file, 0o600);
      const head = load(["--join-timeout", "30", ...flags("0", "ours")], secret);
      await head.waitForStderr("waiting for nodes");
      // The notice of this machine would tell the right token: strangers come without it, by the endpoint.
      const elsewhere = { TMPDIR: "/tmp" };
      const strangers = [load(flags("1", "theirs"), { ...secret, ...elsewhere }), load(flags("1", "ours"), { ...other, ...elsewhere })];
      expect(await codesOf(strangers)).to.deep.equal(["RANKCAST_WRONG_JOB", "RANKCAST_TOKEN_REFUSED"]);
      expect(await codesOf([load(flags("0", "theirs"), secret)])).to.deep.equal(["RANKCAST_COORDINATOR_UNREACHABLE"]);
      // Node 0 says who came; not what they showed.
      await head.waitForStderr("1 connection belonged to another job (from 127.0.0.1:");
      await head.waitForStderr("1 connection had another token (from 127.0.0.1:");
      expect(head.stderr()).to.not.match(/own secret|another secret/);
      head.kill("SIGTERM");
      expect(await codesOf([head])).to.deep.equal(["RANKCAST_INTERRUPTED"]);
    });
  });
});
