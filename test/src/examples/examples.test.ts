/** Every example runs as its README says and leaves nothing behind. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { commandSandbox } from "../support/command-sandbox.js";
import { REPOSITORY } from "../support/source-files.js";
import { exampleProgram, importExample, updateLines } from "./example-programs.js";

const BOUND_MS = 120_000;

interface Trajectory {
  readonly start: readonly number[];
  readonly actions: string;
  readonly states: readonly (readonly number[])[];
  readonly last: readonly number[];
  readonly failed: boolean;
}

interface CartPoleModule {
  nextState(state: readonly number[], action: number): readonly number[];
  hasFailed(state: readonly number[]): boolean;
}

describe("examples", function () {
  this.timeout(BOUND_MS);
  const sandbox = commandSandbox();

  it("cartpole: its physics are Gym's, step by step", async () => {
    const { nextState, hasFailed } = await importExample<CartPoleModule>("cartpole/cart-pole.js");
    const recorded = readFileSync(join(REPOSITORY, "test", "fixtures-examples", "cart-pole.json"), "utf8");
    const { trajectories } = JSON.parse(recorded) as { trajectories: Trajectory[] };
    expect(trajectories).to.have.length(12);
    const close = (actual: readonly number[], expected: readonly number[] | undefined) => {
      for (const [at, value] of (expected ?? []).entries()) expect(actual[at]).to.be.closeTo(value, 1e-9);
    };
    for (const { start, actions, states, last, failed } of trajectories) {
      let state = start;
      for (const [step, action] of [...actions].entries()) {
        expect(hasFailed(state), `step ${step}`).to.equal(false);
        state = nextState(state, Number(action));
        if (step % 20 === 0) close(state, states[step / 20]);
      }
      close(state, last);
      expect(hasFailed(state)).to.equal(failed);
    }
  });

  it("cartpole: every update reaches six replicas whole, without the learner waiting, and the pole stays up longer", async () => {
    const curve = join(sandbox().directory, "curve.svg");
    const args = [exampleProgram("cartpole/main.js"), "--updates", "5", "--curve", curve];
    const { exitCode, stdout, stderr } = await sandbox().start(args, { timeoutMs: BOUND_MS }).ended;
    expect(exitCode, stderr).to.equal(0);
    const lines = updateLines(stdout);
    expect(lines.map(({ update }) => update)).to.deep.equal([1, 2, 3, 4, 5]);
    const [first, last] = [lines[0]?.meanReturn ?? 0, lines.at(-1)?.meanReturn ?? 0];
    expect(last / first, `mean return from ${first} to ${last}`).to.be.at.least(1.2);
    expect(readFileSync(curve, "utf8")).to.match(/^<svg [\s\S]*<polyline points="[\d., ]+"[\s\S]*<\/svg>\n$/);
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });

  it("custom-launcher: ranks that know only torchrun's variables load once and update together", async () => {
    const { exitCode, stdout, stderr } = await sandbox().start([exampleProgram("custom-launcher/launcher.js"), "3"]).ended;
    expect(exitCode, stderr).to.equal(0);
    expect(stdout.trim().split("\n").sort()).to.deep.equal(
      [0, 1, 2].map((rank) => `rank ${rank} of 3: 156923 bytes loaded once, generation 1, means 0.5,0.5`),
    );
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });

  it("replace-vis4d: a scheme of one's own, two renames, and vis4d's words", async () => {
    const { exitCode, stdout, stderr } = await sandbox().start([exampleProgram("replace-vis4d/main.js")]).ended;
    expect(exitCode, stderr).to.equal(0);
    expect(stdout).to.contain("ConvNet: 14/15 keys loaded, 1 missing, 14 renamed");
    expect(stdout).to.contain("missing keys in source state_dict: classifier.weight");
  });

  it("two-nodes: one node reads and casts to the other, and an update from the second node to all", async () => {
    const { exitCode, stdout, stderr } = await sandbox().start([exampleProgram("two-nodes/main.js")], { timeoutMs: BOUND_MS }).ended;
    expect(exitCode, stderr).to.equal(0);
    const lines = stdout.trim().split("\n").sort();
    expect(lines.filter((line) => line.startsWith("rank"))).to.deep.equal(
      [0, 1, 2, 3].map((rank) => `rank ${rank} of 4 on node ${Math.floor(rank / 2)}: generation 1, bias 3`),
    );
    const [loaded, updated] = lines;
    expect(loaded).to.match(/^generation 0: 4 ranks on 2 nodes, 156923 bytes, cast in [1-9\d.]+ ms$/);
    expect(updated).to.match(/^generation 1: 4 ranks on 2 nodes, 256 bytes, cast in /);
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });

  it("examples/README.md speaks of every example and of programs that exist", () => {
    const text = readFileSync(join(REPOSITORY, "examples", "README.md"), "utf8");
    for (const [, program = ""] of text.matchAll(/^node examples\/dist\/(\S+)/gm)) readFileSync(exampleProgram(program));
    expect([...text.matchAll(/^## (.+)$/gm)].map(([, name]) => name)).to.include.members([
      "cartpole",
      "custom-launcher",
      "replace-vis4d",
      "two-nodes",
    ]);
  });
});
