/** The programs of `examples` do what they say. */
import { join } from "node:path";
import { expect } from "chai";
import { commandSandbox } from "../support/command-sandbox.js";
import { REPOSITORY } from "../support/source-files.js";

describe("docs: examples", function () {
  this.timeout(60_000);
  const sandbox = commandSandbox();

  it("resilient-pool", async () => {
    const { exitCode, stdout, stderr } = await sandbox().start([join(REPOSITORY, "examples", "dist", "resilient-pool.js")]).ended;
    expect(exitCode, stderr).to.equal(0);
    expect(stdout).to.equal("lost: RANKCAST_REPLICA_DEADLINE\nreplica 1 is back with the same weights: true, generation 0\n");
    expect(stderr).to.equal("replica 1: crashed\nreplica 1: restarted\n");
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });
});
