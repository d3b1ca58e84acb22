/** Two jobs of one id on one machine: the second is told so on every rank and node while the first runs, which keeps its places. */
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { commandSandbox, RANKCAST, type RunningCommand } from "../support/command-sandbox.js";
import type { ErrorDocument } from "../support/expect-failure.js";
import { freePort } from "../support/launch-nodes.js";
import { torchrunVariables } from "../support/launch-ranks.js";

const HOLD = fileURLToPath(new URL("programs/hold-nodes.js", import.meta.url));
const BOUND_MS = 30_000;

/** What a rank of `hold-nodes` says. */
interface Line {
  readonly pid: number;
  readonly code?: string;
  readonly class?: string;
  readonly details?: object;
  readonly rootCause?: { readonly rank: number | null };
}

describe("scenario: two jobs of one id", function () {
  this.timeout(4 * BOUND_MS);
  const sandbox = commandSandbox();

  const linesOf = (stderr: string): Line[] => [...stderr.matchAll(/@(\{.*\})$/gm)].map(([, json]) => JSON.parse(json ?? "") as Line);

  /** What torchrun gives to rank `rank` of two nodes with two ranks each. */
  const variables = (rank: number) => torchrunVariables(rank, 4, "twice", 2);

  it("a second job of the same id is told so on every rank while the first one runs, which keeps its places", async () => {
    const start = (): RunningCommand[] =>
      [0, 1, 2, 3].map((rank) => sandbox().start([HOLD], { env: variables(rank), timeoutMs: BOUND_MS }));
    const first = start();
    for (const rank of first) await rank.waitForStderr('"holds":true');
    const second = await Promise.all(start().map(async ({ ended }) => linesOf((await ended).stderr)));
    // Each node's first process finds the one that has its place; the others come to that one, which has all its ranks.
    const codes = second.map((lines) => lines.map(({ code }) => code));
    expect(codes).to.deep.equal(["NODE", "RANK", "NODE", "RANK"].map((what) => [`RANKCAST_DUPLICATE_${what}`]));
    for (const [index, lines] of second.entries()) expect(lines[0]?.class, `rank ${index}`).to.equal("peer");
    expect(second[2]?.[0]?.details).to.include({ pid: linesOf(first[2]?.stderr() ?? "")[0]?.pid });
    first[2]?.kill("SIGKILL");
    const said = await Promise.all(
      first.map(async ({ ended }) =>
        linesOf((await ended).stderr).flatMap(({ code, rootCause }) => (code ? [[code, rootCause?.rank]] : [])),
      ),
    );
    expect(said).to.deep.equal([[["RANKCAST_RANK_LOST", 2]], [["RANKCAST_RANK_LOST", 2]], [], [["RANKCAST_COORDINATOR_LOST", undefined]]]);
  });

  it("launchers of a second job of the same id and port are told who has their places, and the first job goes on", async () => {
    const endpoint = `127.0.0.1:${await freePort()}`;
    const launch = (rank: string): RunningCommand =>
      sandbox().start(
        [RANKCAST, "run", "--json", "--nnodes", "2", "--rdzv-endpoint", endpoint, "--node-rank", rank, "--grace-seconds", "3", HOLD],
        { timeoutMs: BOUND_MS },
      );
    const first = ["0", "1"].map(launch);
    for (const node of first) await node.waitForStderr('"holds":true');
    const second = await Promise.all(["0", "1"].map((rank) => launch(rank).ended));
    for (const [nodeRank, { stderr }] of second.entries()) {
      const { error } = JSON.parse(stderr.trimEnd().split("\n").at(-1) ?? "") as { readonly error: ErrorDocument };
      expect(error.code).to.equal("RANKCAST_DUPLICATE_NODE");
      expect(error.message).to.match(new RegExp(`node rank ${nodeRank} is taken by node ${nodeRank} .*, pid ${first[nodeRank]?.pid}\\)`));
    }
    expect(first.map(({ stderr }) => linesOf(stderr()).filter(({ code }) => code !== undefined))).to.deep.equal([[], []]);
    first[0]?.kill("SIGTERM");
    const [interrupted] = await Promise.all(first.map(({ ended }) => ended));
    expect(interrupted?.exitCode).to.equal(143);
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });
});
