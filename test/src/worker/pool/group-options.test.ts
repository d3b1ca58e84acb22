/** Options of collective loads: a world of one is a job like any other. */
import { type LoadProgress, Module, Parameter } from "@rankcast/core";
import { joinGroup, type RankGroup } from "@rankcast/worker";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { FIXTURES } from "../../support/fixtures.ts";

const WEIGHTS = `${FIXTURES}accepted/torch-zip/minimal.pt`;

describe("options of a collective load", function () {
  this.timeout(60_000);
  let group: RankGroup;
  before(async () => {
    group = await joinGroup({ environment: { PATH: process.env["PATH"], HOME: process.env["HOME"], TMPDIR: process.env["TMPDIR"] } });
  });
  after(async () => {
    await group.close();
  });

  it("names that it does not have are refused, as a rejection", async () => {
    for (const [name, nearest] of [
      ["revkeys", "revKeys"],
      ["stict", "strict"],
    ] as const) {
      const loading = group.loadModelCheckpoint(new Module(), WEIGHTS, { [name]: [] } as object);
      const error = await expectError("RANKCAST_USAGE", loading);
      expect(error.details).to.include({ option: name, nearest });
    }
    for (const option of ["select", "mapLocation"]) {
      await expectError("RANKCAST_USAGE", group.loadModelCheckpoint(new Module(), WEIGHTS, { [option]: () => "cpu" } as object));
    }
    // A bigint could not even be written down for the coordinator.
    await expectError("RANKCAST_MAP_LOCATION", group.loadModelCheckpoint(new Module(), WEIGHTS, { mapLocation: 10n } as object));
  });

  it("onProgress hears the phases of the round, and onCollision reaches the replica", async () => {
    const model = new Module();
    model.registerParameter("w", Parameter.meta("float32", null));
    const events: LoadProgress[] = [];
    await expectError(
      "RANKCAST_REV_KEY_COLLISION",
      group.loadModelCheckpoint(model, WEIGHTS, { revKeys: [["^.*$", "w"]], onProgress: (event) => events.push(event) }),
    );
    expect(events.map(({ phase }) => phase)).to.deep.equal(["waiting for weights", "preparing"]);
    const report = await group.loadModelCheckpoint(model, WEIGHTS, { revKeys: [["^.*$", "w"]], onCollision: "last" });
    expect(report.replica.matched).to.equal(1);
  });
});
