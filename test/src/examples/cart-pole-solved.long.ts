/** examples/cartpole to its end: `npm run test:examples`. Minutes long, so not a part of the default suite. */
import { join } from "node:path";
import { expect } from "chai";
import { commandSandbox } from "../support/command-sandbox.js";
import { exampleProgram, updateLines } from "./example-programs.js";

const BOUND_MS = 900_000;

describe("examples, whole", function () {
  this.timeout(BOUND_MS);
  const sandbox = commandSandbox();

  for (const [how, flags] of [
    ["actors take the latest policy between their steps", []],
    ["actors wait for each update", ["--wait"]],
  ] as const) {
    it(`cartpole: the mean return of 100 episodes reaches 195; ${how}`, async () => {
      const args = [exampleProgram("cartpole/main.js"), "--curve", join(sandbox().directory, "curve.svg"), ...flags];
      const { exitCode, stdout, stderr } = await sandbox().start(args, { timeoutMs: BOUND_MS }).ended;
      expect(exitCode, stderr).to.equal(0);
      const lines = updateLines(stdout);
      const last = lines.at(-1);
      expect(last?.meanReturn).to.be.at.least(195);
      if (flags.length > 0) expect(lines.filter(({ lag }) => lag > 0)).to.deep.equal([]);
      process.stdout.write(`    solved after ${last?.update} updates, ${last?.steps} steps, ${last?.seconds} s\n`);
      expect(await sandbox().leftovers()).to.deep.equal([]);
    });
  }
});
