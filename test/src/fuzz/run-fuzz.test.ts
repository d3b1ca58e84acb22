/** The small form of `npm run fuzz`: every seed as it is, then some thousand changed ones. */
import { expect } from "chai";
import { runFuzz } from "./run-fuzz.ts";

const INPUTS = 6000;

describe("fuzzing", () => {
  it(`${INPUTS} changed checkpoints are read or refused, in bounds and without side effects`, async () => {
    const { failures, inputs, byReader } = await runFuzz({ inputs: INPUTS, seconds: 240, seed: 20_260, threads: 1 });
    expect(failures.map(({ reader, index, text }) => `${reader} ${index}: ${text}`)).to.deep.equal([]);
    expect(inputs).to.be.greaterThan(INPUTS);
    for (const [reader, count] of byReader) expect(count, reader).to.be.greaterThan(100);
  }).timeout(300_000);
});
