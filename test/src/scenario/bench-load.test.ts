/** The bench of the main job stays alive: its small form runs, and its arithmetic is right. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type LoadResults, type LoadRow, targetsOf } from "@rankcast/bench/load-results";
import { expect } from "chai";
import { commandSandbox } from "../support/command-sandbox.js";
import { REPOSITORY } from "../support/source-files.js";

describe("scenario: bench of loads", function () {
  this.timeout(60_000);
  const sandbox = commandSandbox();

  it("measures cold, cached and plain loads of 8 MiB", async () => {
    const out = join(sandbox().directory, "results", "load.json");
    const args = ["--mib", "8", "--ranks", "2", "--replicas", "2", "--runs", "1", "--out", out];
    const { exitCode, stdout, stderr } = await sandbox().start([join(REPOSITORY, "bench", "dist", "load.js"), ...args]).ended;
    expect(exitCode, stderr).to.equal(0);
    const { rows, machine, commit } = JSON.parse(readFileSync(out, "utf8")) as LoadResults;
    expect(rows.map(({ how, ranks, replicas }) => [how, ranks, replicas])).to.deep.equal([
      ["cold", 2, 2],
      ["cached", 2, 2],
      ["plain", 2, 2],
    ]);
    const [, cached, plain] = rows;
    expect(cached?.copiedBytes).to.equal(0);
    expect(plain?.copiedBytes).to.equal(2 * 2 * 8 * 2 ** 20);
    expect(machine.cores).to.be.at.least(1);
    expect(commit).to.match(/^[0-9a-f]{7,}$|^unknown$/);
    expect(stdout).to.contain("| 8 MiB | 2 x 2 | ");
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });

  it("targets compare 4 x 2 with 1 x 1 of the biggest checkpoint", () => {
    const cost = { commandMs: null, copiedBytes: 0, peakRssBytes: 0, runs: [] };
    const row = (how: LoadRow["how"], checkpointBytes: number, ranks: number, replicas: number, ms: number, pssBytes: number): LoadRow => ({
      ...cost,
      ...{ how, checkpointBytes, ranks, replicas, ms, pssBytes },
    });
    const small = [row("cached", 1, 1, 1, 1, 1), row("cached", 1, 4, 2, 100, 100)];
    const big = [row("cached", 2, 1, 1, 100, 1000), row("plain", 2, 4, 2, 900, 9000), row("cached", 2, 4, 2, 120, 1100)];
    expect(targetsOf([...small, ...big]).map(({ ratio, atMost }) => [ratio, atMost])).to.deep.equal([
      [1.2, 1.3],
      [1.1, 1.15],
    ]);
  });
});
