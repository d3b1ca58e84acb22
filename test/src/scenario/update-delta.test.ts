/** Updates between nodes: exact on every node, as differences where little changed, whole where a difference would not do. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { commandSandbox } from "../support/command-sandbox.js";
import { runNodes } from "../support/launch-nodes.js";

const PROGRAM = fileURLToPath(new URL("programs/update-delta.js", import.meta.url));
const NODES = 3;

interface Step {
  readonly name: string;
  readonly outcome: string;
  readonly share?: number;
  readonly same?: boolean;
  readonly generation: number;
}

const EXPECTED: readonly (readonly [name: string, outcome: string, generation: number])[] = [
  ["first", "full", 0],
  ["a few elements", "delta", 1],
  ["from another node", "delta", 2],
  ["and from a third", "delta", 3],
  ["everything", "full", 4],
  ["a few elements again", "delta", 5],
  ["names that nobody has", "state-dict", 5],
  // A failure leaves every node on the weights before it: the next one starts from them.
  ["after a failure", "delta", 6],
  ["and the one after", "delta", 7],
];

describe("scenario: updates between nodes as differences", function () {
  this.timeout(90_000);
  const sandbox = commandSandbox();

  for (const [title, env, encodings] of [
    ["mapped", {}, ["full", "delta"]],
    ["without mapping everything travels whole", { RANKCAST_NO_MMAP: "1" }, ["full", "full"]],
  ] as const) {
    it(title, async () => {
      const flags = (nodeRank: number) => ["--log-dir", join(sandbox().directory, `logs-${nodeRank}`), "--redirects", "1"];
      const results = await runNodes(sandbox(), "run", [PROGRAM], { nodes: NODES, nprocPerNode: 1, flags, envOf: () => env });
      for (const { exitCode, stderr } of results) expect(exitCode, stderr).to.equal(0);
      for (let nodeRank = 0; nodeRank < NODES; nodeRank += 1) {
        const [log = ""] = sandbox()
          .filesBelow(`logs-${nodeRank}`)
          .filter((path) => path.endsWith("stdout.log"));
        const steps = JSON.parse(sandbox().read(`logs-${nodeRank}/${log}`)) as Step[];
        const outcomeOf = (outcome: string): string => (outcome === "delta" ? encodings[1] : outcome);
        expect(steps.map(({ name, outcome, generation }) => [name, outcome, generation])).to.deep.equal(
          EXPECTED.map(([name, outcome, generation]) => [name, outcomeOf(outcome), generation]),
        );
        for (const { name, outcome, share = 0, same } of steps) {
          if (outcome !== "state-dict") expect(same, name).to.equal(true);
          if (outcome === "delta") expect(share, name).to.be.below(0.05);
          if (outcome === "full") expect(share, name).to.be.within(1, 1.1);
        }
      }
      expect(await sandbox().leftovers()).to.deep.equal([]);
    });
  }
});
