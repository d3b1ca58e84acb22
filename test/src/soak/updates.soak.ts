/**
 * Thousands of weight updates with faults in between: nothing is mixed, nothing grows, nothing is left. `npm run test:soak [updates [seed [minutes [nodes]]]]`.
 * Every thread collects its garbage at intervals and young generations are small: else they grow to 48 MiB per thread before anything is collected, which takes longer than
 * any test and is no leak. What is left to grow is what is held.
 */
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { commandSandbox } from "../support/command-sandbox.js";
import { documentsOf, torchrunVariables } from "../support/launch-ranks.js";

const NODES = Number(process.env["RANKCAST_SOAK_NODES"] ?? 1);
const RANKS_PER_NODE = NODES > 1 ? 2 : 3;
const RANKS = NODES * RANKS_PER_NODE;
const UPDATES = Number(process.env["RANKCAST_SOAK_UPDATES"] ?? 2000);
const SEED = Number(process.env["RANKCAST_SOAK_SEED"] ?? 20_260);
/** Spreads the updates over this time; 0: as fast as they go. */
const MINUTES = Number(process.env["RANKCAST_SOAK_MINUTES"] ?? 0);
const THREAD = new URL("soak-thread.js", import.meta.url).href;
const PROGRAM = fileURLToPath(new URL("soak-rank.js", import.meta.url));
/** After warming up. The slope of a shorter time is the noise of single pages. */
const TELLING_MINUTES = 9;
const MIB_PER_MINUTE_MAX = 0.5;
/** In a short run: between the lows of its first and last third. A megabyte of weights kept per hundred updates would be ten times that. */
const GROWN_MIB_MAX = 8;

interface SoakDocument {
  readonly rank: number;
  readonly generation: number;
  readonly faults: readonly (readonly [string, number])[];
  readonly mixed: readonly string[];
  readonly mibPerMinute: number;
  readonly usedMibPerMinute: number;
  readonly grownMib: number;
  readonly judgedMinutes: number;
  readonly before: Readonly<Record<string, number>>;
  readonly after: Readonly<Record<string, number>>;
}

describe("soak: weight updates", function () {
  this.timeout(0);
  const sandbox = commandSandbox();

  it(`${UPDATES} updates${MINUTES > 0 ? ` in ${MINUTES} minutes` : ""}, one in a hundred disturbed, over ${NODES} node(s) (seed ${SEED})`, async () => {
    const results = await Promise.all(
      Array.from({ length: RANKS }, (_, rank) => {
        // The coordinator of each node is a thread of its local rank 0, so what that holds is counted there.
        const env = torchrunVariables(rank, RANKS, "soak", RANKS_PER_NODE);
        const flags = ["--expose-gc", "--max-semi-space-size=1", "--import", THREAD];
        const words = [PROGRAM, String(UPDATES), String(SEED), String(MINUTES)];
        return sandbox().start([...flags, ...words], { env, timeoutMs: 3_600_000 + MINUTES * 60_000 }).ended;
      }),
    );
    const documents = documentsOf<SoakDocument>(results);
    for (const document of documents) {
      process.stdout.write(`    ${JSON.stringify(document)}\n`);
      expect(document.mixed).to.deep.equal([]);
      // The faults have really been there.
      expect(document.faults.reduce((sum, [, count]) => sum + count, 0)).to.be.at.least(UPDATES * 0.004);
      for (const held of ["threads", "descriptors", "memoryFiles"]) {
        expect(document.after[held], `rank ${document.rank}: ${held}`).to.be.at.most(document.before[held] ?? 0);
      }
      if (document.judgedMinutes < TELLING_MINUTES) expect(document.grownMib, `rank ${document.rank}`).to.be.at.most(GROWN_MIB_MAX);
      else {
        expect(document.mibPerMinute, `rank ${document.rank}`).to.be.at.most(MIB_PER_MINUTE_MAX);
        expect(document.usedMibPerMinute, `rank ${document.rank}`).to.be.at.most(MIB_PER_MINUTE_MAX);
      }
    }
    expect(new Set(documents.map(({ generation }) => generation)).size).to.equal(1);
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });
});
