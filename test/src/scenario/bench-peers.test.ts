/** The comparison with peers stays alive: its small form runs, what cannot run is named, and its arithmetic is right. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { mergeRows, type PeersResults, type PeersRow, peersTargets, renderPeersTable } from "@rankcast/bench/peers-results";
import { plotPeers } from "@rankcast/bench/plot-peers";
import { expect } from "chai";
import { commandSandbox } from "../support/command-sandbox.js";
import { REPOSITORY } from "../support/source-files.js";

const GIB = 2 ** 30;
const MODES = "torch-mmap,node-plain,rankcast-adopt,rankcast-replicas,rankcast-first,rankcast-copy,memcpy";

describe("scenario: bench of peers", function () {
  this.timeout(120_000);
  const sandbox = commandSandbox();

  it("loads 32 MiB into 2 ranks in every way, and says what is missing", async () => {
    const folder = join(sandbox().directory, "results");
    const [out, plot] = [join(folder, "peers.json"), join(folder, "peers.svg")];
    const args = [
      "--mib",
      "32",
      "--ranks",
      "2",
      "--runs",
      "1",
      "--modes",
      MODES,
      "--python",
      "no-such-python",
      "--out",
      out,
      "--plot",
      plot,
    ];
    const bench = join(REPOSITORY, "bench", "dist", "peers", "peers.js");
    const { exitCode, stdout, stderr } = await sandbox().start([bench, ...args]).ended;
    expect(exitCode, stderr).to.equal(0);
    expect(stderr).to.contain("skipped: torch-mmap, 32 MiB, 2 ranks: no Python with torch");
    const { rows, python } = JSON.parse(readFileSync(out, "utf8")) as PeersResults;
    expect(python).to.equal(null);
    expect(rows.map(({ mode }) => mode)).to.deep.equal(MODES.split(",").slice(1));
    for (const row of rows) expect(row.ms, row.mode).to.be.above(0);
    const copied = rows.find(({ mode }) => mode === "rankcast-copy");
    expect(copied?.pssBytes).to.be.above(1.5 * 32 * 2 ** 20);
    expect(stdout).to.contain("| rankcast, adopted | ");
    expect(readFileSync(plot, "utf8")).to.match(/^<svg [\s\S]*rankcast, adopted[\s\S]*<\/svg>\n$/);
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });

  const row = (mode: PeersRow["mode"], ms: number, of: Partial<PeersRow> = {}): PeersRow => ({
    ...{ mode, ms, ranks: 4, checkpointBytes: GIB, pssBytes: GIB, peakRssBytes: 0, touched: null, runs: [ms] },
    ...of,
  });

  it("targets are of 1 GiB at 4 ranks, and of the largest memory of any", () => {
    const rows = [
      row("torch-each", 900),
      row("torch-broadcast", 300),
      row("torch-mmap", 20),
      row("rankcast-adopt", 10),
      row("rankcast-adopt", 1, { ranks: 8, pssBytes: 1.5 * GIB }),
      row("rankcast-first", 60),
      row("rankcast-copy", 110),
      row("memcpy", 100),
    ];
    const found = peersTargets(rows, { checkpointBytes: 1, ms: 200, runs: [200] });
    expect(found.map(({ ratio }) => Number(ratio.toFixed(3)))).to.deep.equal([0.5, 0.033, 0.011, 3, 1.1, 1.5, 0.5]);
    expect(found.map(({ ratio, atMost }) => ratio <= atMost)).to.deep.equal([true, true, true, true, true, false, true]);
  });

  it("rows of an earlier run stay unless they are measured again", () => {
    const merged = mergeRows([row("memcpy", 1), row("torch-mmap", 2), row("memcpy", 3, { ranks: 2 })], [row("memcpy", 4)]);
    expect(merged.map(({ mode, ranks, ms }) => [mode, ranks, ms])).to.deep.equal([
      ["memcpy", 2, 3],
      ["torch-mmap", 4, 2],
      ["memcpy", 4, 4],
    ]);
  });

  it("the README's table and picture are those of the kept results", () => {
    const readme = readFileSync(join(REPOSITORY, "README.md"), "utf8");
    const { rows } = JSON.parse(readFileSync(join(REPOSITORY, "bench", "results", "peers.json"), "utf8")) as PeersResults;
    expect(readme).to.contain(renderPeersTable(rows, 1024));
    expect(readFileSync(join(REPOSITORY, "bench", "results", "peers.svg"), "utf8")).to.equal(plotPeers(rows, 1024));
  });
});
