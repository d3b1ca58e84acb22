/** The job's secret is in its file and in memory, and nowhere that others look: argv, environments, logs, errors, files that are left. */
import { chmodSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { commandSandbox, RANKCAST } from "../support/command-sandbox.js";
import { FIXTURES } from "../support/fixtures.js";
import { freePort, startNodes } from "../support/launch-nodes.js";

const CANARY = "canary-5e1f7c0ffee-of-this-job";
const PROGRAM = fileURLToPath(new URL("programs/canary.js", import.meta.url));
const WEIGHTS = `${FIXTURES}accepted/torch-zip/state_dict_t213.pt`;

describe("scenario: the job's secret", function () {
  this.timeout(120_000);
  const sandbox = commandSandbox();

  /** What the kernel shows of every process of the job. */
  function processesShow(): string {
    const shown = sandbox()
      .processes()
      .flatMap((pid) =>
        ["cmdline", "environ"].map((name) => {
          try {
            return readFileSync(`/proc/${pid}/${name}`, "utf8");
          } catch {
            return "";
          }
        }),
      );
    return shown.join("\n");
  }

  /** Secrets of the sockets between coordinators and their ranks, while they are there. */
  function socketTokens(): string[] {
    return sandbox()
      .filesBelow("tmp")
      .filter((path) => /token-\d+$/.test(path))
      .flatMap((path) => {
        try {
          return sandbox().read(`tmp/${path}`);
        } catch {
          return [];
        }
      })
      .filter((token) => token !== "");
  }

  it("is not in argv, in environments, in logs at trace level or in errors of a job of two nodes", async () => {
    const token = sandbox().write("token", CANARY);
    chmodSync(token, 0o600);
    // Everything that grpc-js can say, and Node about its sockets.
    const env = { RANKCAST_TOKEN_FILE: token, GRPC_TRACE: "all", GRPC_VERBOSITY: "DEBUG", NODE_DEBUG: "net,tls,http2" };
    const nodes = await startNodes(sandbox(), "run", [PROGRAM, WEIGHTS, sandbox().directory], { nodes: 2, nprocPerNode: 1, env });
    const secrets = new Set([CANARY]);
    let seen = "";
    let over = false;
    const ended = Promise.all(nodes.map((node) => node.ended)).finally(() => {
      over = true;
    });
    let ranks = 0;
    while (!over) {
      seen += processesShow();
      for (const secret of socketTokens()) secrets.add(secret);
      ranks = Math.max(ranks, sandbox().processes().length);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    const results = await ended;
    for (const { exitCode, stderr } of results) expect(exitCode, stderr.slice(-2000)).to.equal(0);
    const said = results.map(({ stdout, stderr }) => stdout + stderr).join("\n");
    // It was looked where it could have been: four processes at once, ranks that printed what they inherit, traces of the streams.
    expect(ranks).to.be.at.least(4);
    expect(said).to.contain("RANKCAST_TOKEN_FILE");
    expect(said).to.match(/rankcast\.v1\.Cluster/);
    const tickets = readdirSync(sandbox().directory).flatMap((name) =>
      name.startsWith("ticket-") ? [`${sandbox().directory}/${name}`] : [],
    );
    // One for each rank. Its first four bytes are a number.
    expect(tickets).to.have.length(2);
    for (const form of tickets.flatMap((path) => formsOf(readFileSync(path)))) {
      expect(seen.includes(form), "a ticket shown by the kernel").to.equal(false);
      expect(said.includes(form), "a ticket written").to.equal(false);
    }
    // The job's secret, and one for the ranks of each node.
    expect(secrets.size).to.be.at.least(3);
    for (const form of [...secrets].flatMap((secret) => [
      secret,
      Buffer.from(secret).toString("hex"),
      Buffer.from(secret).toString("base64"),
    ])) {
      expect(seen.includes(form), "shown by the kernel").to.equal(false);
      expect(said.includes(form), "written").to.equal(false);
    }
    const left = readdirSync(sandbox().directory, { recursive: true, withFileTypes: true }).filter(
      (entry) => entry.isFile() && entry.name !== "token",
    );
    for (const entry of left) expect(readFileSync(`${entry.parentPath}/${entry.name}`).includes(CANARY), entry.name).to.equal(false);
  });

  it("is not in the error of a node that was refused", async () => {
    const [right, wrong] = [sandbox().write("right", CANARY), sandbox().write("wrong", `${CANARY}-not`)];
    for (const file of [right, wrong]) chmodSync(file, 0o600);
    const flags = [
      "load",
      WEIGHTS,
      "--json",
      "--nnodes",
      "2",
      "--rdzv-endpoint",
      `127.0.0.1:${await freePort()}`,
      "--join-timeout",
      "30",
      "--node-rank",
    ];
    const head = sandbox().start([RANKCAST, ...flags, "0"], { env: { RANKCAST_TOKEN_FILE: right } });
    await head.waitForStderr("waiting for nodes");
    const { stderr } = await sandbox().start([RANKCAST, ...flags, "1"], { env: { RANKCAST_TOKEN_FILE: wrong, TMPDIR: "/tmp" } }).ended;
    expect(stderr).to.contain("RANKCAST_TOKEN_REFUSED").and.not.to.contain(CANARY);
    head.kill("SIGTERM");
    expect((await head.ended).stderr).not.to.contain(CANARY);
  });
});

/** How a ticket could be written: how its secret begins is enough, for what shows bytes shortens them. */
function formsOf(ticket: Buffer): string[] {
  const some = ticket.subarray(4, 16);
  const hex = some.toString("hex");
  const lists = [", ", ","].map((between) => [...some].join(between));
  return [
    some.toString("latin1"),
    hex,
    hex.replace(/(..)(?!$)/g, "$1 "),
    some.toString("base64"),
    ticket.toString("base64").slice(6, 20),
    ...lists,
  ];
}
