/** What `rankcast download` says while it works, where nobody watches: a log file, a job's output. */
import { expect } from "chai";
import { commandSandbox } from "../support/command-sandbox.ts";
import { fixtureBytes } from "../support/fixtures.ts";
import { originServer } from "../support/origin-server.ts";

describe("progress of a download", () => {
  const sandbox = commandSandbox();
  const origin = originServer();

  it("D6: off a terminal it is plain lines on stderr, one per phase while nothing takes long, and the result alone is on stdout", async () => {
    const url = origin().serve("/m.pt", fixtureBytes("accepted/torch-zip/minimal.pt"));
    const { exitCode, stdout, stderr } = await sandbox().run(["download", url]);
    expect(exitCode, stderr).to.equal(0);
    expect(stdout).to.match(/^\S+\/objects\/[0-9a-f]{64}\/m\.pt\n$/);
    const phases = stderr
      .trimEnd()
      .split("\n")
      .map((line) => /^\[[^\]]+\] (\w+)/.exec(line)?.[1]);
    expect([...new Set(phases)]).to.deep.equal(["resolving", "downloading"]);
    for (const control of ["\r", "\u001b"]) expect(stderr).to.not.contain(control);
  });
});
