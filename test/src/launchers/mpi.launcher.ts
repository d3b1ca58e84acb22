/** Under Open MPI's mpirun, with two hosts that are both this machine (a remote shell that runs the daemon here). `npm run test:mpi`. */
import { spawnSync } from "node:child_process";
import { chmodSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { commandSandbox, RANKCAST } from "../support/command-sandbox.js";
import { documentsIn, expectJobLoaded, RANK_PROGRAM, type RankDocument, rankCommand, WEIGHTS } from "../support/launcher-job.js";

const DISAGREE = fileURLToPath(new URL("../scenario/programs/disagree.js", import.meta.url));
const MPIRUN_MS = 90_000;

/**
 * mpirun calls `shell options host command`; the command runs here. Each host's daemon keeps its files in a folder of that host: a daemon that
 * starts takes away the empty folders of its job, and two that share one can take it from each other before it is filled. The one that loses
 * ends without a word, and mpirun waits for it for ever (seen with Open MPI 4.1.4 in one run of thirty).
 */
const REMOTE_SHELL = `#!/bin/bash
while [[ "$1" == -* ]]; do shift; done
export OMPI_MCA_orte_tmpdir_base="$TMPDIR/$1"
mkdir -p "$OMPI_MCA_orte_tmpdir_base"
shift
exec bash -c "$*"
`;

describe("under Open MPI", function () {
  this.timeout(120_000);
  const sandbox = commandSandbox();

  /** Runs `node program...` as four ranks on two hosts. */
  const mpirun = (hosts: string, rankCount: number, program: readonly string[]) => {
    const shell = sandbox().write("shell", REMOTE_SHELL);
    chmodSync(shell, 0o755);
    const args = [
      "--allow-run-as-root",
      "--oversubscribe",
      "-mca",
      "plm_rsh_agent",
      shell,
      "-mca",
      "plm_rsh_no_tree_spawn",
      "1",
      "--host",
      hosts,
      "-np",
      String(rankCount),
    ];
    const env = { PATH: process.env["PATH"], HOME: sandbox().directory, TMPDIR: sandbox().temporary, RANKCAST_HOME: sandbox().cacheHome };
    return spawnSync("mpirun", [...args, ...rankCommand(sandbox().directory, program)], {
      env,
      cwd: sandbox().directory,
      encoding: "utf8",
      timeout: MPIRUN_MS,
      maxBuffer: 2 ** 26,
    });
  };

  const ranksOf = (hosts: string, rankCount: number): RankDocument[] => {
    const { status, stderr } = mpirun(hosts, rankCount, [RANK_PROGRAM, WEIGHTS]);
    expect(status, stderr).to.equal(0);
    return documentsIn(sandbox().directory);
  };

  it("one host, two ranks", () => expectJobLoaded(ranksOf("nodeA:2", 2), [2]));

  it("two hosts, two ranks each: nodes are numbered when they meet, by their lowest rank", () =>
    expectJobLoaded(ranksOf("nodeA:2,nodeB:2", 4), [2, 2]));

  it("uneven hosts", () => expectJobLoaded(ranksOf("nodeA:3,nodeB:1", 4), [3, 1]));

  it("a rank that cannot go on fails the job: every rank on both hosts names it", () => {
    const { stderr } = mpirun("nodeA:2,nodeB:2", 4, [DISAGREE, "abort", WEIGHTS, WEIGHTS]);
    const outcomes = documentsIn<{ ended: string; rootCause: { rank: number } }>(sandbox().directory);
    expect(outcomes.length, stderr).to.equal(4);
    for (const { ended, rootCause } of outcomes) expect([ended, rootCause.rank]).to.deep.equal(["failed", 1]);
  });

  it("the command line joins as a rank", () => {
    const { status, stderr } = mpirun("nodeA:2,nodeB:2", 4, [RANKCAST, "load", WEIGHTS, "--strict", "--json"]);
    expect(status, stderr).to.equal(0);
    const reports = documentsIn<{ worldSize: number; nodes: number }>(sandbox().directory);
    expect(reports).to.have.length(1);
    expect(reports[0]).to.include({ worldSize: 4, nodes: 2 });
  });
});
