/** Whoever is killed, nothing stays: no socket, no token, no shared memory. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { uniqueTag } from "@rankcast/core/runtime";
import { expect } from "chai";
import { type CommandSandbox, commandSandbox, RANKCAST, type RunningCommand } from "../support/command-sandbox.js";
import { expectFailure } from "../support/expect-failure.js";
import { FIXTURES } from "../support/fixtures.js";
import { freePort } from "../support/launch-nodes.js";
import { torchrunVariables } from "../support/launch-ranks.js";

const WEIGHTS = `${FIXTURES}accepted/torch-zip/state_dict_t213.pt`;
const HOLD = fileURLToPath(new URL("programs/hold.js", import.meta.url));
const BARE = fileURLToPath(new URL("programs/bare-coordinator.js", import.meta.url));
const PUBLISH = fileURLToPath(new URL("programs/publish-lost.js", import.meta.url));
const RANKS = 3;

describe("scenario: killed ranks under a launcher of one's own", function () {
  this.timeout(90_000);
  const sandbox = commandSandbox();

  /** Ranks that have loaded and hold their weights. */
  async function hold(env: Readonly<Record<string, string>> = {}): Promise<RunningCommand[]> {
    const running = Array.from({ length: RANKS }, (_, rank) =>
      sandbox().start([HOLD, WEIGHTS, "0"], { env: { ...torchrunVariables(rank, RANKS, "killed"), ...env } }),
    );
    await Promise.all(running.map((command) => command.waitForStderr("holding")));
    return running;
  }

  for (const [who, victims] of [
    ["rank 0, which coordinates", [0]],
    ["a rank that only takes part", [1]],
    ["all of them at once", [0, 1, 2]],
  ] as const) {
    for (const [where, env] of [
      ["", {}],
      [", without mapping", { RANKCAST_NO_MMAP: "1" }],
    ] as const) {
      it(`SIGKILL of ${who}${where}`, async () => {
        const running = await hold(env);
        expect(meetingFolders(sandbox())).to.have.length(1);
        for (const rank of victims) running[rank]?.kill("SIGKILL");
        await Promise.all(victims.map((rank) => running[rank]?.ended));
        for (const command of running) command.kill("SIGTERM");
        await Promise.all(running.map(({ ended }) => ended));
        expect(await sandbox().leftovers()).to.deep.equal([]);
        expect(meetingFolders(sandbox())).to.deep.equal([]);
      });
    }
  }

  it("SIGKILL of rank 0 while another one publishes: what waits for memory that nobody frees any more ends, and so does what comes later", async () => {
    const ranks = [0, 1].map((rank) => sandbox().start([PUBLISH], { env: torchrunVariables(rank, 2, "publishing"), timeoutMs: 30_000 }));
    const [, publisher] = await Promise.all(ranks.map(({ ended }) => ended));
    const { outcomes, later } = JSON.parse(publisher?.stdout || `{"outcomes":[],"later":${JSON.stringify(publisher?.stderr)}}`) as {
      readonly outcomes: readonly string[];
      readonly later: string;
    };
    expect(outcomes).to.have.length(17);
    expect([outcomes.at(-1), later]).to.deep.equal(["RANKCAST_COORDINATOR_LOST", "RANKCAST_COORDINATOR_LOST"]);
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });

  it("SIGKILL of a program that has started a coordinator of its own", async () => {
    const coordinator = sandbox().start([BARE]);
    await coordinator.waitForStderr("listening");
    expect(meetingFolders(sandbox())).to.have.length(1);
    coordinator.kill("SIGKILL");
    await coordinator.ended;
    expect(await sandbox().leftovers()).to.deep.equal([]);
    expect(meetingFolders(sandbox())).to.deep.equal([]);
  });

  it("SIGKILL of the head of several nodes while it waits for the others, who leave nothing either when they give up", async () => {
    const flags = ["--nnodes", "2", "--rdzv-endpoint", `127.0.0.1:${await freePort()}`, "--json"];
    const head = sandbox().start([RANKCAST, "load", WEIGHTS, ...flags, "--node-rank", "0"]);
    await head.waitForStderr("waiting for nodes");
    expect(meetingFolders(sandbox())).to.have.length(1);
    head.kill("SIGKILL");
    await head.ended;
    expect(await sandbox().leftovers()).to.deep.equal([]);
    expect(meetingFolders(sandbox())).to.deep.equal([]);
    const other = await sandbox().run(["load", WEIGHTS, ...flags, "--node-rank", "1", "--join-timeout", "1"]);
    await expectFailure(other, sandbox());
    expect(meetingFolders(sandbox())).to.deep.equal([]);
  });

  it("what a whole machine left behind when it lost its power is removed by the next job, and nothing else", async () => {
    const base = join(sandbox().temporary, `rankcast-${process.getuid?.() ?? "user"}`);
    const dead = uniqueTag().replace(/^\d+-\d+/, "999999-1");
    for (const [name, owner] of [
      ["dead", `owner-${dead}`],
      ["living", `owner-${uniqueTag()}`],
      ["waiting", "nobody-yet"],
    ] as const) {
      mkdirSync(join(base, name), { recursive: true, mode: 0o700 });
      writeFileSync(join(base, name, owner), "");
      writeFileSync(join(base, name, "token"), "secret");
    }
    const running = await hold();
    expect(existsSync(join(base, "dead"))).to.equal(false);
    expect(meetingFolders(sandbox())).to.include.members(["living", "waiting"]);
    for (const command of running) command.kill("SIGTERM");
    for (const { exitCode, stderr } of await Promise.all(running.map(({ ended }) => ended))) expect(exitCode, stderr).to.equal(0);
    expect(meetingFolders(sandbox())).to.have.members(["living", "waiting"]);
  });
});

function meetingFolders({ temporary }: CommandSandbox): string[] {
  const base = join(temporary, `rankcast-${process.getuid?.() ?? "user"}`);
  return existsSync(base) ? readdirSync(base) : [];
}
