/** Every fixture that must not be read: class of refusal, place of the fault, time. */
import { CheckpointError } from "@rankcast/core";
import { expect } from "chai";
import { EXPECTED, type FixtureRow, refusalClasses } from "../support/fixtures.ts";
import { type InspectedCheckpoint, inspectFixture, prototypesAreClean } from "./inspect-fixture.ts";

/** Reading it all is fair where the row says so, with the tensors the row gives or none. */
function expectFairReading(found: InspectedCheckpoint, row: FixtureRow): void {
  expect(row.either ?? [], "must be refused").to.include("accepted");
  if (row.tensors) expect(found.tensors).to.deep.equal(row.tensors);
}

describe("fixtures that must be refused", () => {
  for (const [path, row] of EXPECTED) {
    if (!path.startsWith("refused/")) continue;
    it(path, async () => {
      let thrown: unknown;
      try {
        expectFairReading(await inspectFixture(path), row);
        return;
      } catch (error) {
        thrown = error;
      }
      if (!(thrown instanceof CheckpointError)) throw thrown;
      expect(thrown.class, thrown.message).to.be.oneOf([...refusalClasses(row)]);
      expect(thrown.message.length).to.be.below(2000);
      expect(thrown.message).to.not.match(/[\u0000-\u001f\u007f-\u009f]/);
      expect(thrown.message, "names the file or its directory").to.contain(path.split("/")[2]);
      expect(prototypesAreClean()).to.equal(true);
    }).timeout(2000);
  }
});
