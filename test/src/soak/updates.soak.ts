/** Thousands of weight updates with faults in between: nothing is mixed, nothing grows, nothing is left. `npm run test:soak [updates [seed]]`. */
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { commandSandbox } from "../support/command-sandbox.js";
import { documentsOf, torchrunVariables } from "../support/launch-ranks.js";

const RANKS = 3;
const UPDATES = Number(process.env["RANKCAST_SOAK_UPDATES"] ?? 2000);
const SEED = Number(process.env["RANKCAST_SOAK_SEED"] ?? 20_260);
const PROGRAM = fileURLToPath(new URL("soak-rank.js", import.meta.url));
/** A run of some minutes cannot tell a slope from the heap's breathing; from ten minutes on it must. */
const TELLING_MINUTES = 10;
const BREATHING_MIB = 64;
const MIB_PER_MINUTE_MAX = 0.5;

interface SoakDocument {
  readonly rank: number;
  readonly generation: number;
  readonly faults: readonly (readonly [string, number])[];
  readonly mixed: readonly string[];
  readonly mibPerMinute: number;
  readonly grownMib: number;
  readonly minutes: number;
  readonly before: Readonly<Record<string, number>>;
  readonly after: Readonly<Record<string, number>>;
}

describe("soak: weight updates", function () {
  this.timeout(0);
  const sandbox = commandSandbox();

  it(`${UPDATES} updates, one in a hundred disturbed (seed ${SEED})`, async () => {
    const results = await Promise.all(
      Array.from({ length: RANKS }, (_, rank) => {
        const env = torchrunVariables(rank, RANKS, "soak");
        return sandbox().start(["--expose-gc", PROGRAM, String(UPDATES), String(SEED)], { env, timeoutMs: 3_600_000 }).ended;
      }),
    );
    const documents = documentsOf<SoakDocument>(results);
    for (const document of documents) {
      process.stdout.write(`    ${JSON.stringify(document)}\n`);
      expect(document.mixed).to.deep.equal([]);
      // The faults have really been there.
      expect(document.faults.reduce((sum, [, count]) => sum + count, 0)).to.be.at.least(UPDATES * 0.004);
      expect(document.after["threads"]).to.be.at.most((document.before["threads"] ?? 0) + 1);
      expect(document.after["descriptors"]).to.be.at.most((document.before["descriptors"] ?? 0) + 8);
      expect(document.after["memoryFiles"]).to.be.at.most((document.before["memoryFiles"] ?? 0) + 6);
      if (document.minutes >= TELLING_MINUTES) expect(document.mibPerMinute).to.be.at.most(MIB_PER_MINUTE_MAX);
      else expect(document.grownMib).to.be.at.most(BREATHING_MIB);
    }
    expect(new Set(documents.map(({ generation }) => generation)).size).to.equal(1);
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });
});
