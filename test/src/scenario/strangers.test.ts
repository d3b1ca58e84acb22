/** Strangers at a job's port, as whoever runs the job sees them: on stderr of `rankcast run`, and in its metrics. */
import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { commandSandbox, RANKCAST } from "../support/command-sandbox.js";
import { freePort } from "../support/launch-nodes.js";

const HOLD = fileURLToPath(new URL("programs/hold-nodes.js", import.meta.url));
const STRANGERS = 50;

describe("scenario: strangers", function () {
  this.timeout(60_000);
  const sandbox = commandSandbox();

  /** Says something that is no handshake; resolves when it has been cut off. */
  const knock = (port: number): Promise<void> =>
    new Promise((resolve) => {
      const socket = connect(port, "127.0.0.1", () => socket.write("GET /?password=hunter2 HTTP/1.1\r\n\r\n"));
      socket.on("error", () => undefined);
      socket.resume();
      socket.once("close", () => resolve());
    });

  it("are told on stderr of `rankcast run` and counted in its metrics, without a word of what they said", async () => {
    const port = await freePort();
    const flags = ["--nnodes", "2", "--node-rank", "0", "--rdzv-endpoint", `127.0.0.1:${port}`, "--metrics-port", "0"];
    const head = sandbox().start([RANKCAST, "run", ...flags, HOLD], { timeoutMs: 50_000 });
    await head.waitForStderr("metrics at ");
    const url = /metrics at (\S+)/.exec(head.stderr())?.[1] ?? "";
    // The port is bound behind the metrics.
    const bound = async (): Promise<void> => {
      for (;;) {
        const there = await new Promise<boolean>((resolve) => {
          const probe = connect(port, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
          probe.once("connect", () => probe.end());
        });
        if (there) return;
      }
    };
    await bound();
    await Promise.all(Array.from({ length: STRANGERS }, () => knock(port)));
    await head.waitForStderr("turned away at the port for other nodes: 1 connection spoke another protocol (from 127.0.0.1:");
    let counted = 0;
    // The rest is said a second later, all at once.
    while (counted < STRANGERS) {
      const text = await (await fetch(url)).text();
      counted = Number(/^rankcast_connections_refused_total\{reason="protocol"\} (\d+)$/m.exec(text)?.[1] ?? 0);
    }
    expect(counted).to.equal(STRANGERS);
    head.kill("SIGTERM");
    const { stderr, exitCode } = await head.ended;
    expect(exitCode).to.equal(143);
    const told = [...stderr.matchAll(/(\d+) connections? spoke another protocol/g)].map(([, count]) => Number(count));
    expect(told.reduce((sum, count) => sum + count, 0)).to.equal(STRANGERS);
    expect(told.length).to.be.below(STRANGERS / 2);
    expect(stderr).to.not.contain("hunter2");
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });
});
