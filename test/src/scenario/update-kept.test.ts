/** Updates over several nodes fill the same memory again and again: no new mapping in a rank, no new memory on a node, whichever rank is the source. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { commandSandbox } from "../support/command-sandbox.js";
import { runNodes } from "../support/launch-nodes.js";

const PROGRAM = fileURLToPath(new URL("programs/update-kept.js", import.meta.url));
/** Everybody's sets are in use from here on. */
const WARM_TURNS = 8;

interface KeptDocument {
  readonly rank: number;
  readonly nodeRank: number;
  readonly steps: readonly {
    readonly turn: number;
    readonly isSmall: boolean;
    readonly same: boolean;
    readonly encoding: string;
    readonly mapped: readonly string[];
    readonly held: readonly number[];
  }[];
}

describe("scenario: updates over nodes keep their memory (Linux)", function () {
  this.timeout(90_000);
  const sandbox = commandSandbox();

  before(function () {
    // It is /proc that tells.
    if (process.platform !== "linux") this.skip();
  });

  it("two nodes of two ranks, sources of both nodes in turns", async () => {
    const flags = (nodeRank: number) => ["--log-dir", join(sandbox().directory, `logs-${nodeRank}`), "--redirects", "1"];
    const results = await runNodes(sandbox(), "run", [PROGRAM], { nodes: 2, nprocPerNode: 2, flags, timeoutMs: 80_000 });
    for (const { exitCode, stderr } of results) expect(exitCode, stderr).to.equal(0);
    const logs = sandbox()
      .filesBelow(".")
      .filter((path) => path.endsWith("stdout.log"));
    const documents = logs.map((path) => JSON.parse(sandbox().read(path)) as KeptDocument);
    expect(documents.length).to.equal(4);
    for (const { rank, steps } of documents) {
      const warm = steps.find(({ turn }) => turn === WARM_TURNS);
      for (const { turn, isSmall, same, encoding, mapped, held } of steps) {
        const where = `rank ${rank}, update ${turn}`;
        expect(same, where).to.equal(true);
        expect(encoding, where).to.equal(isSmall ? "delta" : "full");
        if (turn <= WARM_TURNS) continue;
        expect(mapped, where).to.deep.equal(warm?.mapped);
        expect(held, where).to.deep.equal(warm?.held);
      }
      // Two sets to receive into, and nothing else of that size.
      expect(warm?.held.length, `rank ${rank}`).to.equal(2);
    }
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });
});
