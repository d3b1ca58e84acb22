/** What a launcher remembers of its ranks' rounds, however many there are. */
import { AttemptRecord } from "@rankcast/coordinator/internal";
import type { LoadReportFields } from "@rankcast/core";
import { expect } from "chai";

describe("record of an attempt", () => {
  it("keeps the first report and the last ones, and says how many it has left out", () => {
    const record = new AttemptRecord();
    const generationsOf = (): number[] => record.reports.map(({ generation }) => generation);
    for (let generation = 0; generation < 1000; generation += 1) {
      record.take({ type: "report", report: { generation } as LoadReportFields });
      if (generation === 99) expect([generationsOf(), record.reportsOmitted]).to.deep.equal([[...Array(100).keys()], 0]);
    }
    expect(generationsOf()).to.deep.equal([0, ...Array.from({ length: 99 }, (_, index) => 901 + index)]);
    expect(record.reportsOmitted).to.equal(900);
  });
});
