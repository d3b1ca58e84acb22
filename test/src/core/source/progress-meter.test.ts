import { type FetchProgress, ProgressMeter } from "@rankcast/core/internal";
import { expect } from "chai";

describe("ProgressMeter", () => {
  it("tells rate and remaining time without the bytes of an earlier try, at a bounded frequency", () => {
    let now = 0;
    const events: FetchProgress[] = [];
    const meter = new ProgressMeter(
      "x",
      (event) => event.type === "progress" && events.push(event),
      () => now,
    );
    meter.bytesTotal = 10_000;
    meter.bytesBefore = 4_000;
    for (let tick = 0; tick < 100; tick += 1) {
      now += 10;
      meter.add(20);
    }
    meter.end();
    expect(events.length).to.be.within(9, 12);
    expect(events.at(-1)).to.deep.equal({
      type: "progress",
      name: "x",
      bytesDone: 6_000,
      bytesTotal: 10_000,
      bytesPerSecond: 2_000,
      etaMs: 2_000,
      retries: 0,
    });
  });
});
