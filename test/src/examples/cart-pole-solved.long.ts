/** examples/cartpole to its end: `npm run test:examples`. Minutes long, so not a part of the default suite. */
import { join } from "node:path";
import { expect } from "chai";
import { commandSandbox } from "../support/command-sandbox.js";
import { exampleProgram, updateLines } from "./example-programs.js";

const BOUND_MS = 900_000;

describe("examples, whole", function () {
  this.timeout(BOUND_MS);
  const sandbox = commandSandbox();

  it("cartpole: the mean return of 100 episodes reaches 195", async () => {
    const curve = join(sandbox().directory, "curve.svg");
    const { exitCode, stdout, stderr } = await sandbox().start([exampleProgram("cartpole/main.js"), "150", curve], { timeoutMs: BOUND_MS })
      .ended;
    expect(exitCode, stderr).to.equal(0);
    const last = updateLines(stdout).at(-1);
    expect(last?.meanReturn).to.be.at.least(195);
    process.stdout.write(`    solved after ${last?.update} updates, ${last?.steps} steps, ${last?.seconds} s\n`);
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });
});
