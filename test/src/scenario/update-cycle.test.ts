/** Weight updates that go on and on: two sets of segments in turn, other sources and layouts in between, failures that change nothing. */
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { commandSandbox } from "../support/command-sandbox.js";
import { FIXTURES } from "../support/fixtures.js";
import { documentsOf, launchRanks } from "../support/launch-ranks.js";

const WEIGHTS = `${FIXTURES}accepted/torch-zip/state_dict_t213.pt`;
const RANKS = 3;
const BOUND_MS = 30_000;
const PROGRAM = fileURLToPath(new URL("programs/update-cycle.js", import.meta.url));

interface Step {
  readonly step: string;
  readonly outcome: string;
  readonly bias: readonly (readonly number[])[];
  readonly weight: readonly number[];
  readonly generation: number;
}

/** Value of the bias, and whether the weight has it too, after each step; the third is the generation. */
const EXPECTED: readonly [step: string, value: number, weight: number | null, generation: number][] = [
  ...[1, 2, 3, 4, 5].map((turn): [string, number, null, number] => [`turn ${turn}`, turn, null, turn]),
  ["after a write", 6, null, 6],
  ["the set that was written", 7, null, 7],
  ["another source", 8, null, 8],
  ["and again", 9, null, 9],
  ["and the first", 10, null, 10],
  ["another layout", 11, 11, 11],
  ["another layout again", 12, 12, 12],
  // It failed on every rank: everything is as it was.
  ["a source without bytes", 12, 12, 12],
  ["a tensor of another shape", 12, 12, 12],
  ["what fits after that", 14, 14, 13],
  ["and its second set", 15, 15, 14],
  ["and its first", 16, 16, 15],
];

const REFUSED: ReadonlySet<string> = new Set(["a source without bytes", "a tensor of another shape"]);

describe("scenario: weight updates again and again", function () {
  this.timeout(BOUND_MS + 10_000);
  const sandbox = commandSandbox();

  for (const [title, env] of [
    ["mapped", {}],
    ["without mapping", { RANKCAST_NO_MMAP: "1" }],
  ] as const) {
    it(`${title}: every replica of every rank holds each update's values, and only these`, async () => {
      const results = await launchRanks(sandbox(), PROGRAM, RANKS, { args: [WEIGHTS], env, timeoutMs: BOUND_MS });
      for (const { seen: steps, targets } of documentsOf<{ seen: Step[]; targets: number[][][] }>(results)) {
        // Loaded before the updates from the checkpoint, then after the fifth: what it took is what it keeps.
        expect(targets[0]?.[0]).to.deep.equal(targets[0]?.[1]);
        expect(targets[0]?.[0]).to.not.deep.equal([5, 5.5]);
        // Without mapping it shares the replica's memory, as `assign` does in torch, and one of the replicas writes into that.
        if (title === "mapped")
          expect(targets[1]).to.deep.equal([
            [5, 5.5],
            [5, 5.5],
          ]);
        expect(steps.map(({ step }) => step)).to.deep.equal(EXPECTED.map(([step]) => step));
        steps.forEach(({ step, outcome, bias, weight, generation }, index) => {
          const [, value, weightValue, expectedGeneration] = EXPECTED[index] ?? ["", Number.NaN, null, -1];
          expect(bias, step).to.deep.equal([
            [value, value + 0.5],
            [value, value + 0.5],
          ]);
          if (weightValue !== null) expect(weight, step).to.deep.equal([weightValue, weightValue]);
          expect(generation, step).to.equal(expectedGeneration);
          expect(outcome === "passed", `${step}: ${outcome}`).to.equal(!REFUSED.has(step));
          if (step === "a tensor of another shape") expect(outcome).to.equal("RANKCAST_STATE_DICT_MISMATCH");
        });
      }
      expect(await sandbox().leftovers()).to.deep.equal([]);
    });
  }
});
