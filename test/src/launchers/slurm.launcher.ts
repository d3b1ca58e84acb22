/** Under the real Slurm: four nodes on one machine, ranks started by srun. `npm run test:slurm`. */
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { RANKCAST } from "../support/command-sandbox.js";
import { documentsIn, expectJobLoaded, RANK_PROGRAM, type RankDocument, rankCommand, WEIGHTS } from "../support/launcher-job.js";
import { type SlurmCluster, startSlurm } from "../support/slurm-cluster.js";

const NODES = 4;
const DISAGREE = fileURLToPath(new URL("../scenario/programs/disagree.js", import.meta.url));

describe("under Slurm", function () {
  this.timeout(180_000);
  let slurm: SlurmCluster;
  before(async () => {
    slurm = await startSlurm(NODES);
  });
  after(() => slurm?.close());

  const ranksOf = (args: readonly string[]): RankDocument[] => {
    const { status, stderr } = slurm.srun([...args, ...rankCommand(slurm.directory, [RANK_PROGRAM, WEIGHTS])]);
    expect(status, stderr).to.equal(0);
    return documentsIn(slurm.directory);
  };

  it("one node, two tasks", () => expectJobLoaded(ranksOf(["-N1", "-n2"]), [2]));

  it("four nodes, two tasks each: the same weights everywhere, updates from the first and the last rank", () =>
    expectJobLoaded(ranksOf(["-N4", "-n8", "--ntasks-per-node=2"]), [2, 2, 2, 2]));

  it("uneven tasks: three on one node, one on the other", () => expectJobLoaded(ranksOf(["-N2", "-n4", "--distribution=plane=3"]), [3, 1]));

  it("a task that ends fails the job: the others, on every node, name it instead of waiting", () => {
    // Without --kill-on-bad-exit srun lets the others run to their end: what they print is theirs.
    const program = rankCommand(slurm.directory, [DISAGREE, "kill", WEIGHTS, WEIGHTS]);
    const { stderr } = slurm.srun(["-N2", "-n4", "--ntasks-per-node=2", ...program]);
    const outcomes = documentsIn<{ ended: string; class: string; rootCause: { rank: number; nodeRank: number } }>(slurm.directory);
    expect(outcomes.length, stderr).to.equal(3);
    for (const { ended, rootCause } of outcomes) expect([ended, rootCause.rank, rootCause.nodeRank]).to.deep.equal(["failed", 1, 0]);
  });

  it("the command line joins as a rank of the step; rank 0 prints the report", () => {
    const program = rankCommand(slurm.directory, [RANKCAST, "load", WEIGHTS, "--strict", "--json"]);
    const { status, stderr } = slurm.srun(["-N2", "-n4", "--ntasks-per-node=2", ...program]);
    expect(status, stderr).to.equal(0);
    const reports = documentsIn<{ worldSize: number; nodes: number }>(slurm.directory);
    expect(reports).to.have.length(1);
    expect(reports[0]).to.include({ worldSize: 4, nodes: 2 });
  });

  it("doctor says what it saw", () => {
    const { stdout } = slurm.srun(["-N1", "-n1", process.execPath, RANKCAST, "doctor", "--json"]);
    const { findings } = JSON.parse(stdout) as { findings: { name: string; found: string }[] };
    expect(findings.find(({ name }) => name === "launcher")?.found).to.match(/^slurm: rank 0 of 1/);
  });
});
