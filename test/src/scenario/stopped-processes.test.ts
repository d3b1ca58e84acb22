/** SIGSTOP: connections stay open and say nothing, and everybody still learns who stands still, in time. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { commandSandbox, RANKCAST, type RunningCommand } from "../support/command-sandbox.js";
import { torchrunVariables } from "../support/launch-ranks.js";
import { hasEnded } from "../support/process-table.js";

const HOLD = fileURLToPath(new URL("programs/hold-nodes.js", import.meta.url));
const LATE = fileURLToPath(new URL("programs/late-join.js", import.meta.url));
const RANKS = 3;
/** Generous: the bound is one second. */
const TIMEOUT_MS = 30_000;
const BOUND = { RANKCAST_NODE_TIMEOUT: "1" };

interface Line {
  readonly rank: number;
  readonly pid: number;
  readonly holds?: boolean;
  readonly code?: string;
  readonly rootCause?: { readonly rank: number; readonly pid: number; readonly message: string };
}

/** Resolves when a launcher's coordinator listens: it has filled the file of the token, which was empty before. */
async function listening(temporary: string): Promise<void> {
  const isFilled = (name: string): boolean => name.endsWith("token-0") && readFileSync(join(temporary, name), "utf8") !== "";
  while (!(readdirSync(temporary, { recursive: true }) as string[]).some(isFilled)) await new Promise((resolve) => setTimeout(resolve, 20));
}

describe("scenario: stopped processes", function () {
  this.timeout(4 * TIMEOUT_MS);
  const sandbox = commandSandbox();
  before(function () {
    if (existsSync("/proc/self/stat")) return;
    console.log("    no /proc on this system: nobody can tell a stopped process");
    this.skip();
  });

  const linesOf = (stderr: string): Line[] => [...stderr.matchAll(/@(\{.*\})$/gm)].map(([, json]) => JSON.parse(json ?? "") as Line);
  const failures = (stderr: string): Line[] => linesOf(stderr).filter(({ code }) => code !== undefined);

  /** Ranks under a launcher of one's own that wait for each other. */
  async function hold(): Promise<RunningCommand[]> {
    const ranks = Array.from({ length: RANKS }, (_, rank) =>
      sandbox().start([HOLD], { env: { ...torchrunVariables(rank, RANKS, "stopped"), ...BOUND }, timeoutMs: TIMEOUT_MS }),
    );
    await Promise.all(ranks.map((rank) => rank.waitForStderr('"holds":true')));
    return ranks;
  }

  /** What the others say of the stopped rank, and then what it says itself when it goes on. */
  async function stop(victim: number): Promise<{ others: Line[]; own: Line[] }> {
    const ranks = await hold();
    const stopped = ranks[victim];
    stopped?.kill("SIGSTOP");
    const others = await Promise.all(ranks.filter((rank) => rank !== stopped).map(async ({ ended }) => failures((await ended).stderr)));
    stopped?.kill("SIGCONT");
    const own = failures((await stopped?.ended)?.stderr ?? "");
    expect(await sandbox().leftovers()).to.deep.equal([]);
    return { others: others.flat(), own };
  }

  it("a rank: the others name it and say why, and it may not go on", async () => {
    const { others, own } = await stop(1);
    expect(others.map(({ rank }) => rank)).to.have.members([0, 2]);
    for (const { code, rootCause } of [...others, ...own]) {
      expect(code).to.equal("RANKCAST_RANK_LOST");
      expect(rootCause?.rank).to.equal(1);
      expect(rootCause?.message).to.match(/has been stopped for [\d.]+ s/);
    }
    expect(own).to.have.length(1);
  });

  it("the rank that coordinates: the others have lost their coordinator, and it its ranks", async () => {
    const { others, own } = await stop(0);
    expect(others.map(({ rank }) => rank)).to.have.members([1, 2]);
    for (const { code } of others) expect(code).to.equal("RANKCAST_COORDINATOR_LOST");
    expect(own[0]?.code).to.equal("RANKCAST_RANK_LOST");
  });

  it("the launcher: its ranks have lost their coordinator, and it says so when it goes on", async () => {
    const flags = ["run", "--nproc-per-node", "2", "--node-timeout", "1", "--json"];
    const launcher = sandbox().start([RANKCAST, ...flags, HOLD], { timeoutMs: TIMEOUT_MS });
    for (const rank of [0, 1]) await launcher.waitForStderr(`"rank":${rank},`);
    await launcher.waitForStderr('"holds":true');
    const pids = linesOf(launcher.stderr()).map(({ pid }) => pid);
    launcher.kill("SIGSTOP");
    // Their parent cannot tell that they have ended.
    for (const pid of pids) while (!hasEnded(pid)) await new Promise((resolve) => setTimeout(resolve, 20));
    launcher.kill("SIGCONT");
    const { exitCode, stderr } = await launcher.ended;
    expect(exitCode, stderr).to.equal(1);
    expect(failures(stderr).map(({ code }) => code)).to.deep.equal(["RANKCAST_COORDINATOR_LOST", "RANKCAST_COORDINATOR_LOST"]);
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });

  it("the rank that coordinates, before another has come: that one does not wait for its welcome", async () => {
    const start = (rank: number): RunningCommand =>
      sandbox().start([LATE], { env: { ...torchrunVariables(rank, 3, "stopped-early"), ...BOUND }, timeoutMs: TIMEOUT_MS });
    const [first, second] = [start(0), start(1)];
    // Both are in: the place where ranks meet is there.
    for (const rank of [first, second]) await rank.waitForStderr('"joined":true');
    first.kill("SIGSTOP");
    const late = start(2);
    for (const rank of [second, late])
      expect(failures((await rank.ended).stderr).map(({ code }) => code)).to.deep.equal(["RANKCAST_COORDINATOR_LOST"]);
    first.kill("SIGKILL");
    await first.ended;
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });

  it("the launcher, before its ranks have come: they do not wait for their welcome", async () => {
    const go = join(sandbox().directory, "go");
    const flags = ["run", "--nproc-per-node", "2", "--node-timeout", "1", "--json"];
    const launcher = sandbox().start([RANKCAST, ...flags, LATE, go], { timeoutMs: TIMEOUT_MS });
    await launcher.waitForStderr('"rank":0,');
    await launcher.waitForStderr('"rank":1,');
    const pids = linesOf(launcher.stderr()).map(({ pid }) => pid);
    await listening(sandbox().temporary);
    launcher.kill("SIGSTOP");
    sandbox().write("go", "");
    for (const pid of pids) while (!hasEnded(pid)) await new Promise((resolve) => setTimeout(resolve, 20));
    launcher.kill("SIGCONT");
    const { exitCode, stderr } = await launcher.ended;
    expect(exitCode, stderr).to.equal(1);
    expect(failures(stderr).map(({ code }) => code)).to.deep.equal(["RANKCAST_COORDINATOR_LOST", "RANKCAST_COORDINATOR_LOST"]);
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });

  it("a rank that its launcher started: the launcher says that it was stopped, not how it had to end it", async () => {
    const flags = ["run", "--nproc-per-node", "2", "--node-timeout", "1", "--grace-seconds", "1", "--json"];
    const launcher = sandbox().start([RANKCAST, ...flags, HOLD], { timeoutMs: TIMEOUT_MS });
    await launcher.waitForStderr('"rank":0,');
    await launcher.waitForStderr('"rank":1,');
    const pid = linesOf(launcher.stderr()).find(({ rank }) => rank === 1)?.pid ?? 0;
    process.kill(pid, "SIGSTOP");
    const { exitCode, stderr } = await launcher.ended;
    expect(exitCode, stderr).to.equal(1);
    const { error } = JSON.parse(stderr.trimEnd().split("\n").at(-1) ?? "") as { error: { code: string; message: string; details: Line } };
    expect(error.code).to.equal("RANKCAST_RANK_LOST");
    expect(error.message).to.match(/rank 1 .*has been stopped for/);
    expect(error.details.rootCause?.pid).to.equal(pid);
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });
});
