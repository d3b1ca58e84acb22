/** Updates of some names between nodes: the named ones arrive, all others keep every bit, also where replicas of different nodes hold different ones. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { commandSandbox } from "../support/command-sandbox.js";
import { runNodes } from "../support/launch-nodes.js";

const PROGRAM = fileURLToPath(new URL("programs/update-partial.js", import.meta.url));
const NODES = 2;
const SMALL = ["an adapter, little changed", "and again"];

interface Step {
  readonly name: string;
  readonly encoding: string;
  readonly share: number;
  readonly wrong: readonly string[];
}

describe("scenario: updates of some names between nodes", function () {
  this.timeout(90_000);
  const sandbox = commandSandbox();

  for (const [title, env] of [
    ["mapped", {}],
    ["without mapping", { RANKCAST_NO_MMAP: "1" }],
  ] as const) {
    it(`${title}: an adapter, a base, everything`, async () => {
      const flags = (nodeRank: number) => ["--log-dir", join(sandbox().directory, `logs-${nodeRank}`), "--redirects", "1"];
      const results = await runNodes(sandbox(), "run", [PROGRAM], { nodes: NODES, nprocPerNode: 1, flags, envOf: () => env });
      for (const { exitCode, stderr } of results) expect(exitCode, stderr).to.equal(0);
      const logs = sandbox()
        .filesBelow(".")
        .filter((path) => path.endsWith("stdout.log"));
      expect(logs.length).to.equal(NODES);
      for (const { rank, steps } of logs.map((path) => JSON.parse(sandbox().read(path)) as { rank: number; steps: Step[] })) {
        expect(steps.length).to.equal(8);
        for (const { name, encoding, share, wrong } of steps) {
          expect(wrong, `rank ${rank}, ${name}`).to.deep.equal([]);
          // What travels is at most what is named; of a layout that travelled before, the difference.
          if (title === "mapped" && SMALL.includes(name)) expect([encoding, share < 0.05], name).to.deep.equal(["delta", true]);
          else expect(share, name).to.be.below(1.1);
        }
      }
      expect(await sandbox().leftovers()).to.deep.equal([]);
    });
  }
});
