/** Weights that a learner publishes without waiting: whole versions only, in order, taken between steps, skipped when slow. */
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { commandSandbox } from "../support/command-sandbox.js";
import { documentsOf, launchRanks } from "../support/launch-ranks.js";

const VERSIONS = 60;
const BOUND_MS = 40_000;
const PROGRAM = fileURLToPath(new URL("programs/live-weights.js", import.meta.url));

interface ActorDocument {
  readonly rank: number;
  readonly updates: readonly { readonly number: number; readonly version: string; readonly ageMs: number; readonly behind: number }[];
  readonly held: readonly (readonly number[] | null)[];
  readonly replies: readonly { readonly version: string; readonly behind: number }[];
  readonly ended: readonly (readonly number[])[];
  readonly kept: readonly (readonly number[])[];
  readonly behind: number;
}

describe("scenario: live weights", function () {
  this.timeout(BOUND_MS + 10_000);
  const sandbox = commandSandbox();

  for (const [title, env] of [
    ["mapped", {}],
    ["without mapping", { RANKCAST_NO_MMAP: "1" }],
  ] as const) {
    it(`${title}: no replica ever shows two versions at once, a slow one skips, one that wants every version gets it`, async () => {
      const results = await launchRanks(sandbox(), PROGRAM, 3, { args: [String(VERSIONS)], env, timeoutMs: BOUND_MS });
      const [, slow, every] = documentsOf<ActorDocument>(results);
      for (const actor of [slow, every]) {
        expect(actor?.ended.map(published)).to.deep.equal([[VERSIONS], [VERSIONS]]);
        expect(actor?.kept.map(published)).to.deep.equal([[VERSIONS], [VERSIONS]]);
        expect(actor?.behind).to.equal(0);
        const numbers = actor?.updates.map(({ number }) => number) ?? [];
        expect(numbers).to.deep.equal([...new Set(numbers)].sort((a, b) => a - b));
        for (const { number, version, ageMs, behind } of actor?.updates ?? []) {
          expect(version).to.equal(`step ${number}`);
          expect(ageMs).to.be.at.least(0);
          expect(behind).to.be.at.least(0);
        }
      }
      expect(every?.updates.map(({ number }) => number)).to.deep.equal(Array.from({ length: VERSIONS }, (_, index) => index + 1));
      // One value each time; -1 beside it is what the replica itself wrote into its own pages.
      for (const values of every?.held ?? []) expect(values === null || values.length === 1, String(values)).to.equal(true);
      for (const values of slow?.held ?? []) {
        expect(values === null || published(values).length === 1, String(values)).to.equal(true);
      }
      expect(slow?.updates.length, "a slow subscriber skips").to.be.below(VERSIONS);
      // What a reply says about its weights is what it was made with.
      for (const actor of [slow, every]) {
        expect(actor?.replies.length).to.equal(actor?.held.length);
        actor?.replies.forEach(({ version, behind }, index) => {
          const values = actor.held[index] ?? null;
          expect(version).to.equal(values === null ? "" : `step ${published(values)[0]}`);
          expect(behind).to.be.within(0, VERSIONS);
        });
      }
      expect(await sandbox().leftovers()).to.deep.equal([]);
    });
  }
});

/** Without what the replica itself has written into its own pages. */
function published(values: readonly number[]): number[] {
  return values.filter((value) => value !== -1);
}
