/** `rankcast run` and the launcher of `rankcast load`: users' scripts, signals, and a launcher that is killed. */
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { commandSandbox, RANKCAST } from "../support/command-sandbox.js";
import { expectFailure } from "../support/expect-failure.js";
import { expectReport } from "../support/expect-report.js";
import { EXPECTED, FIXTURES } from "../support/fixtures.js";

const CHECKPOINT = "accepted/torch-zip/state_dict_t213.pt";
const WEIGHTS = FIXTURES + CHECKPOINT;
const FAULTY_MODEL = fileURLToPath(new URL("replicas/faulty-model.js", import.meta.url));
const BOUND_MS = 30_000;

const program = (name: string): string => fileURLToPath(new URL(`programs/${name}.js`, import.meta.url));
const truth = EXPECTED.get(CHECKPOINT)?.tensors?.map(({ name, sha256 }) => [name, sha256]);

describe("scenario: the launcher", function () {
  this.timeout(2 * BOUND_MS);
  const sandbox = commandSandbox();

  it("runs a script in three ranks, which find each other without further words", async () => {
    const args = ["run", "--nproc-per-node", "3", "--log-dir", `${sandbox().directory}/logs`, "--redirects", "1", program("model-update")];
    const { exitCode, stderr } = await sandbox().run([...args, WEIGHTS], { timeoutMs: BOUND_MS });
    expect(exitCode, stderr).to.equal(0);
    const outputs = sandbox()
      .filesBelow("logs")
      .filter((path) => path.endsWith("stdout.log"));
    const documents = outputs.map((path) => JSON.parse(sandbox().read(`logs/${path}`)) as { loaded: unknown; identity: { rank: number } });
    expect(documents.map(({ identity }) => identity.rank)).to.deep.equal([0, 1, 2]);
    for (const { loaded } of documents) expect(loaded).to.deep.equal(truth);
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });

  it("--json: one document with the reports of every round; what ranks print goes to stderr", async () => {
    const args = ["run", "--json", "--nproc-per-node", "2", program("model-update"), WEIGHTS];
    const { exitCode, stdout, stderr } = await sandbox().run(args, { timeoutMs: BOUND_MS });
    expect(exitCode, stderr).to.equal(0);
    const { exitCodes, reports } = JSON.parse(stdout) as { exitCodes: number[]; reports: { generation: number }[] };
    expect(exitCodes).to.deep.equal([0, 0]);
    expect(reports.map(({ generation }) => generation)).to.deep.equal([0, 1, 2]);
    for (const report of reports) expectReport(JSON.stringify(report));
  });

  for (const [fault, how] of [
    ["exit", "exit code 9"],
    ["kill", "SIGKILL"],
  ] as const) {
    it(`${fault} of one rank's script is the job's failure, with that rank as root cause`, async () => {
      const args = ["run", "--json", "--nproc-per-node", "3", program("disagree"), fault, WEIGHTS];
      const error = await expectFailure(await sandbox().run(args, { timeoutMs: BOUND_MS }), sandbox());
      expect(error.class).to.equal("peer");
      expect(error.message).to.contain(how);
      expect(error.details.rootCause, error.message).to.include({ rank: 1, nodeRank: 0 });
    });
  }

  for (const [signal, exitCode] of [
    ["SIGTERM", 143],
    ["SIGINT", 130],
    ["SIGKILL", null],
  ] as const) {
    it(`${signal} to \`rankcast load\` leaves no process, file or socket`, async () => {
      const env = { RANKCAST_TEST_FAULT: "hang-while-building@1" };
      const args = ["load", WEIGHTS, "--nproc-per-node", "2", "--model", FAULTY_MODEL, "--json"];
      const command = sandbox().start([RANKCAST, ...args], { env, timeoutMs: BOUND_MS });
      // Rank 1 has said that it hangs: only a signal can end this job.
      await command.waitForStderr("rank 1 hangs");
      command.kill(signal);
      expect((await command.ended).exitCode).to.equal(exitCode);
      expect(await sandbox().leftovers()).to.deep.equal([]);
    });
  }
});
