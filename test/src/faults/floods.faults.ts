/** Floods at full size against the head's door, each from a process of its own, while a good node talks to the head. `npm run test:faults`. */
import { type ChildProcess, execFile, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { openClusterChannel } from "@rankcast/coordinator/internal";
import { expect } from "chai";
import { FLOODED_JOB } from "./flooded-head.js";

const MIB = 2 ** 20;
const GROWTH_MAX = 128 * MIB;
/** Far above what a machine of its own shows (the figures are printed), far below a node's timeout. */
const ANSWER_MS = 5000;
/** Strangers have a second and a half for their greeting; two thousand dial at once, and see their end when this machine lets them. */
const HALF_OPEN_MS = 6000;
const FLOODER = fileURLToPath(new URL("flooder.js", import.meta.url));
const HEAD = fileURLToPath(new URL("flooded-head.js", import.meta.url));

describe("floods", function () {
  this.timeout(120_000);
  let head: ChildProcess;
  let address: string;
  before(async () => {
    head = fork(HEAD);
    [{ address }] = (await once(head, "message")) as [{ address: string }];
  });
  after(() => head.kill());

  /** Most memory of the head since the last call. */
  async function peakBytes(): Promise<number> {
    head.send({});
    const [{ peakBytes: bytes }] = (await once(head, "message")) as [{ peakBytes: number }];
    return bytes;
  }

  /** Asks and asks until `over`, and ten times at least; the longest time to an answer, and how many came. */
  async function converse(over: () => boolean): Promise<{ worstMs: number; answers: number }> {
    let answered: (() => void) | null = null;
    let lost: Error | null = null;
    const channel = openClusterChannel(address, FLOODED_JOB, {
      onConnected: () => undefined,
      onMessage: () => answered?.(),
      onEnd: (error) => {
        lost = error;
        answered?.();
      },
    });
    let worstMs = 0;
    let answers = 0;
    while ((!over() || answers <= 10) && lost === null) {
      const beginMs = performance.now();
      await new Promise<void>((resolve) => {
        answered = resolve;
        channel.send({ type: "heartbeat" });
      });
      // The connection itself is made with the first question.
      if (answers > 0) worstMs = Math.max(worstMs, performance.now() - beginMs);
      answers += 1;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    if (lost !== null) throw lost;
    answered = null;
    await channel.close();
    return { worstMs, answers };
  }

  for (const kind of [
    "half-open connections",
    "streams that stay open",
    "streams that are reset at once",
    "pings",
    "settings",
    "large headers",
    "half messages",
    "wrong tokens",
  ]) {
    it(kind, async () => {
      const warmMs = performance.now() + 200;
      await peakBytes();
      await converse(() => performance.now() > warmMs);
      const beforeBytes = await peakBytes();
      let over = false;
      const flooding = promisify(execFile)(process.execPath, [FLOODER, kind, address]).finally(() => {
        over = true;
      });
      const { worstMs, answers } = await converse(() => over);
      const done = JSON.parse((await flooding).stdout) as {
        sent?: number;
        cut?: boolean;
        longestMs?: number;
        in?: number;
        sessions?: number;
      };
      const grownMib = ((await peakBytes()) - beforeBytes) / MIB;
      console.log(`      ${answers} answers, worst ${worstMs.toFixed(0)} ms; ${grownMib.toFixed(0)} MiB more; ${JSON.stringify(done)}`);
      expect(worstMs).to.be.below(ANSWER_MS);
      expect(grownMib * MIB).to.be.below(GROWTH_MAX);
      if (done.longestMs !== undefined) expect(done.longestMs).to.be.below(HALF_OPEN_MS);
      // No stranger has come in.
      if (done.in !== undefined) expect(done.in).to.equal(0);
      // Whoever opens stream after stream, or asks without end, is cut off; a flood that nobody cuts off goes on for half a minute.
      if (done.cut !== undefined) expect(done.cut, JSON.stringify(done)).to.equal(true);
      else expect(done.sent ?? done.longestMs ?? done.sessions ?? 100, JSON.stringify(done)).to.be.at.least(100);
    });
  }
});
