/**
 * Nodes, ranks and launchers that are killed or stopped while updates travel between nodes, at moments chosen by seeds: every survivor ends with the
 * same typed error and root cause, holds one whole update, and nothing is left. `npm run test:faults [-- runs [seed]]`.
 */
import { setTimeout } from "node:timers/promises";
import { expect } from "chai";
import { FaultJob, type RankLine } from "./fault-job.js";
import { RUNS, type SeededRun, seededRuns } from "./seeded-runs.js";

const NODES = 4;
/** Its rank gives the updates: the chain is 1, 0, 2, 3. */
const OWNER = 1;
const ENDLESS = 1_000_000;
/** Generous: the machine does other things too. What the figures are is printed. */
const BOUND_MS = 300_000;
/** Nodes must show signs of life in this time; a machine with far too much to do takes seconds for one. */
const STOP_BOUND_S = 5;

/** A death is seen by closed streams, at once; a stop when its bound is over. Both with seconds for a machine that has too much to do. */
const DEATH_SEEN_MS = 5000;
const STOP_SEEN_MS = STOP_BOUND_S * 1000 + DEATH_SEEN_MS;

const others = (node: number): number[] => [0, 1, 2, 3].filter((each) => each !== node);

/** Starts an endless job and waits for a moment within an update, by chance. */
async function within({ sandbox, chance }: SeededRun, node: number, flags: readonly string[] = [], updates = ENDLESS): Promise<FaultJob> {
  const job = await FaultJob.start(sandbox, { nodes: NODES, updates, src: OWNER, flags, timeoutMs: BOUND_MS });
  const lastMs = await job.begins(node, 2 + Math.floor(chance() * 3));
  await setTimeout(chance() * lastMs);
  return job;
}

/** All survivors say the same, and hold the same whole update (a lost head decides nothing: one of the last two then). */
function expectAlike(lines: readonly RankLine[], code: string, rootCause: object, sameUpdate = true): void {
  const text = JSON.stringify(lines);
  for (const line of lines) {
    expect(line.code, text).to.equal(code);
    expect(line.rootCause, text).to.include(rootCause);
    expect(line.held, text).to.be.oneOf([line.turn, (line.turn ?? 0) - 1]);
  }
  if (sameUpdate) expect(new Set(lines.map(({ held }) => held)).size, text).to.equal(1);
}

/** Prints what the runs of a case have shown; nobody may have heard of it later than `boundMs`. */
function expectSeen(runs: readonly { readonly lines: readonly RankLine[]; readonly struckMs: number }[], boundMs: number): void {
  const sorted = runs.flatMap(({ lines, struckMs }) => lines.map(({ failedMs = 0 }) => failedMs - struckMs)).sort((a, b) => a - b);
  const cut = runs.filter(({ lines }) => lines.every(({ turn, held }) => held !== turn)).length;
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  console.log(
    `      seen after: median ${at(0.5)} ms, p99 ${at(0.99)} ms, most ${at(1)} ms, of ${sorted.length}; ${cut} of ${runs.length} cut an update in two`,
  );
  expect(at(1)).to.be.below(boundMs);
}

describe("nodes that fail while updates travel", function () {
  this.timeout(RUNS * 2 * BOUND_MS);

  for (const [victim, place] of [
    [1, "the owner of the bytes"],
    [2, "the middle of the chain"],
    [3, "the end of the chain"],
  ] as const) {
    it(`kill -9 of a whole node: ${place}`, async () => {
      const runs = await seededRuns(async (run) => {
        const job = await within(run, victim);
        const struckMs = Date.now();
        job.signalNode(victim, "SIGKILL");
        const lines = await job.end(others(victim));
        expectAlike(lines, "RANKCAST_NODE_LOST", { nodeRank: victim, pid: job.launchers[victim]?.pid });
        return { lines, struckMs };
      });
      expectSeen(runs, DEATH_SEEN_MS);
    });
  }

  it("kill -9 of the whole head node", async () => {
    const runs = await seededRuns(async (run) => {
      const job = await within(run, 0);
      const struckMs = Date.now();
      job.signalNode(0, "SIGKILL");
      const lines = await job.end(others(0));
      expectAlike(lines, "RANKCAST_COORDINATOR_LOST", { nodeRank: 0, pid: job.launchers[0]?.pid }, false);
      return { lines, struckMs };
    });
    expectSeen(runs, DEATH_SEEN_MS);
  });

  it("kill -9 of a launcher alone: its ranks and whatever it made go with it", async () => {
    const runs = await seededRuns(async (run) => {
      const victim = Math.floor(run.chance() * NODES);
      const job = await within(run, victim);
      const struckMs = Date.now();
      job.launchers[victim]?.kill("SIGKILL");
      const lines = await job.end(others(victim));
      const code = victim === 0 ? "RANKCAST_COORDINATOR_LOST" : "RANKCAST_NODE_LOST";
      expectAlike(lines, code, { nodeRank: victim, pid: job.launchers[victim]?.pid }, victim !== 0);
      return { lines, struckMs };
    });
    expectSeen(runs, DEATH_SEEN_MS);
  });

  it("kill -9 of one rank anywhere", async () => {
    const runs = await seededRuns(async (run) => {
      const victim = Math.floor(run.chance() * NODES);
      const job = await within(run, victim);
      const struckMs = Date.now();
      job.signalRank(victim, "SIGKILL");
      const lines = await job.end(others(victim));
      expectAlike(lines, "RANKCAST_RANK_LOST", { rank: victim, nodeRank: victim });
      return { lines, struckMs };
    });
    expectSeen(runs, DEATH_SEEN_MS);
  });

  it("SIGSTOP of one rank: it is named, and may not go on", async () => {
    const runs = await seededRuns(async (run) => {
      const victim = Math.floor(run.chance() * NODES);
      const job = await within(run, victim, ["--node-timeout", String(STOP_BOUND_S)]);
      const struckMs = Date.now();
      job.signalRank(victim, "SIGSTOP");
      const lines = await job.end(others(victim));
      expectAlike(lines, "RANKCAST_RANK_LOST", { rank: victim, nodeRank: victim });
      for (const { rootCause } of lines) expect(rootCause?.message).to.contain("has been stopped");
      await job.end([victim]);
      return { lines, struckMs };
    });
    expectSeen(runs, STOP_SEEN_MS);
  });

  it("SIGSTOP of a launcher: its node is given up, and may not go on", async () => {
    const runs = await seededRuns(async (run) => {
      const victim = Math.floor(run.chance() * NODES);
      const job = await within(run, victim, ["--node-timeout", String(STOP_BOUND_S)]);
      const struckMs = Date.now();
      job.launchers[victim]?.kill("SIGSTOP");
      const lines = await job.end(others(victim));
      const code = victim === 0 ? "RANKCAST_COORDINATOR_LOST" : "RANKCAST_NODE_LOST";
      expectAlike(lines, code, { nodeRank: victim, pid: job.launchers[victim]?.pid }, victim !== 0);
      job.launchers[victim]?.kill("SIGCONT");
      const [own] = await job.end([victim]);
      expect((await job.launchers[victim]?.ended)?.exitCode).to.equal(1);
      expect(own?.held, JSON.stringify(own)).to.be.oneOf([own?.turn, (own?.turn ?? 0) - 1]);
      return { lines, struckMs };
    });
    expectSeen(runs, STOP_SEEN_MS);
  });

  it("SIGSTOP of a whole node for less than the bound: nothing is lost", async () => {
    const updates = 7;
    await seededRuns(async (run) => {
      const victim = Math.floor(run.chance() * NODES);
      const job = await within(run, victim, ["--node-timeout", "60"], updates);
      job.signalNode(victim, "SIGSTOP");
      await setTimeout(1000);
      job.signalNode(victim, "SIGCONT");
      for (const line of await job.end([0, 1, 2, 3])) expect([line.ended, line.held], JSON.stringify(line)).to.deep.equal([true, updates]);
    });
  });

  it("a rank that is killed is started again with all others, in a larger epoch, and all updates come", async () => {
    const updates = 6;
    await seededRuns(async (run) => {
      const victim = Math.floor(run.chance() * NODES);
      const job = await within(run, victim, ["--max-restarts", "1"], updates);
      job.signalRank(victim, "SIGKILL");
      const last = await job.end([0, 1, 2, 3]);
      for (const line of last) expect([line.ended, line.held], JSON.stringify(line)).to.deep.equal([true, updates]);
      const epochs = [0, 1, 2, 3].map((node) => job.linesOf(node).flatMap(({ epoch }) => (epoch === undefined ? [] : [Number(epoch)])));
      for (const each of epochs) {
        expect(each, JSON.stringify(epochs)).to.deep.equal(epochs[0]);
        expect(each[1], JSON.stringify(epochs)).to.be.above(each[0] ?? Number.POSITIVE_INFINITY);
      }
    });
  });
});
