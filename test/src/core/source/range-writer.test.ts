import { RangeWriter } from "@rankcast/core/internal";
import { expect } from "chai";

describe("RangeWriter", () => {
  const KIB = 1024;
  let writes: string[];
  let finish: (() => void)[];
  const write = (pieces: readonly Uint8Array[], position: number): Promise<void> => {
    writes.push(`${position}+${pieces.reduce((sum, each) => sum + each.length, 0)}`);
    return new Promise((resolve) => finish.push(resolve));
  };
  beforeEach(() => {
    writes = [];
    finish = [];
  });
  const finishAll = async (): Promise<void> => {
    for (let turn = 0; turn < 8; turn += 1) {
      for (const each of finish.splice(0)) each();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };

  it("gathers up to a MiB, in order, and writes the rest when it is flushed", async () => {
    const writer = new RangeWriter(write, 10);
    for (let count = 0; count < 20; count += 1) await writer.push([new Uint8Array(64 * KIB)]);
    const flushing = writer.flush();
    await finishAll();
    expect(await flushing).to.equal(10 + 20 * 64 * KIB);
    expect(writes).to.deep.equal([`10+${1024 * KIB}`, `${10 + 1024 * KIB}+${256 * KIB}`]);
  });

  it("writes at once what somebody waits for, and what somebody begins to wait for", async () => {
    let awaited = 5;
    const writer = new RangeWriter(write, 0, ({ begin, end }) => begin <= awaited && awaited < end);
    await writer.push([new Uint8Array(4)]);
    expect(writes).to.deep.equal([]);
    await writer.push([new Uint8Array(4)]);
    expect(writes).to.deep.equal(["0+8"]);
    await writer.push([new Uint8Array(3)]);
    awaited = 10;
    // Twice, and while the first write still runs: nothing is written twice or out of order.
    writer.nudge();
    writer.nudge();
    const flushing = writer.push([new Uint8Array(1)]).then(() => writer.flush());
    await finishAll();
    await flushing;
    expect(writes).to.deep.equal(["0+8", "8+4"]);
  });
});
