/** The comparison with peers stays alive: its small form runs, what cannot run is named, and its arithmetic is right. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { thisMachine } from "@rankcast/bench/load-results";
import { mergeGaps, mergeRows, type PeersGap, type PeersResults, type PeersRow, peersTargets } from "@rankcast/bench/peers-results";
import { renderPeersNote, renderPeersTables } from "@rankcast/bench/peers-table";
import { plotPeers } from "@rankcast/bench/plot-peers";
import { expect } from "chai";
import { commandSandbox } from "../support/command-sandbox.js";
import { REPOSITORY } from "../support/source-files.js";

const [MIB, GIB] = [2 ** 20, 2 ** 30];
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
    const { rows, gaps, python } = JSON.parse(readFileSync(out, "utf8")) as PeersResults;
    expect(python).to.equal(null);
    expect(gaps).to.have.length(1);
    expect(gaps[0]).to.include({ mode: "torch-mmap", ranks: 2, checkpointBytes: 32 * MIB, failed: false });
    expect(gaps[0]?.why).to.contain("no Python with torch");
    expect(rows.map(({ mode }) => mode)).to.deep.equal(MODES.split(",").slice(1));
    for (const row of rows) expect(row.ms, row.mode).to.be.above(0);
    const copied = rows.find(({ mode }) => mode === "rankcast-copy");
    expect(copied?.pssBytes).to.be.above(1.5 * 32 * 2 ** 20);
    expect(stdout).to.contain("| rankcast, adopted | ");
    expect(readFileSync(plot, "utf8")).to.match(/^<svg [\s\S]*rankcast, adopted[\s\S]*<\/svg>\n$/);
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });

  const row = (mode: PeersRow["mode"], ms: number, of: Partial<PeersRow> = {}): PeersRow => ({
    ...{ mode, ms, ranks: 4, checkpointBytes: GIB, pssBytes: GIB, peakRssBytes: 0, touched: null, runs: [ms], commit: "abcdef0" },
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

  it("a way that fails is named, the others are kept, and an earlier row of it is not", async () => {
    const out = join(sandbox().directory, "peers.json");
    // Features are told; the ranks end without an answer.
    const python = join(sandbox().directory, "python");
    const features = { torch: "2.13.0", mmap: "torch", safetensors: null, gloo: true };
    writeFileSync(python, `#!/bin/sh\n[ "$2" = features ] && echo '${JSON.stringify(features)}' && exit 0\necho no memory >&2; exit 3\n`, {
      mode: 0o755,
    });
    const bench = join(REPOSITORY, "bench", "dist", "peers", "peers.js");
    const args = ["--mib", "1", "--ranks", "1", "--runs", "1", "--modes", "torch-mmap,memcpy", "--python", python, "--out", out];
    const first = { machine: thisMachine(), python: features, rows: [row("torch-mmap", 7, { ranks: 1, checkpointBytes: MIB })] };
    writeFileSync(out, JSON.stringify({ ...first, gaps: [], coldStart: null, targets: [] }));
    const { exitCode, stderr } = await sandbox().start([bench, ...args]).ended;
    expect(exitCode, stderr).to.equal(1);
    expect(stderr).to.match(/FAILED: torch-mmap, 1 MiB, 1 ranks: [\s\S]*no memory/);
    const { rows, gaps } = JSON.parse(readFileSync(out, "utf8")) as PeersResults;
    expect(rows.map(({ mode }) => mode)).to.deep.equal(["memcpy"]);
    expect(gaps.map(({ mode, failed }) => [mode, failed])).to.deep.equal([["torch-mmap", true]]);
    expect(await sandbox().leftovers()).to.deep.equal([]);
  });

  it("gaps stay until a row fills them", () => {
    const gap = (mode: PeersGap["mode"], why: string): PeersGap => ({ mode, ranks: 4, checkpointBytes: GIB, failed: false, why });
    const old = [gap("memcpy", "old"), gap("node-plain", "old"), gap("torch-each", "old")];
    const left = mergeGaps(old, [gap("node-plain", "new")], [row("memcpy", 1)]);
    expect(left.map(({ mode, why }) => [mode, why])).to.deep.equal([
      ["torch-each", "old"],
      ["node-plain", "new"],
    ]);
  });

  it("tables show what is missing, 1 GiB first", () => {
    const small = { checkpointBytes: 64 * MIB, pssBytes: 64 * MIB };
    const gap: PeersGap = { mode: "memcpy", ranks: 8, checkpointBytes: GIB, failed: false, why: "too large" };
    const tables = renderPeersTables({ rows: [row("memcpy", 4, small), row("memcpy", 100)], gaps: [gap] });
    expect(tables).to.match(/^\| 1 GiB, ms at \| 4 ranks \| 8 ranks \|/);
    expect(tables).to.contain("| one memcpy into fresh memory per rank | 100 | – | 1.00 (4) |");
    expect(tables).to.match(/<summary>64 MiB<\/summary>\n\n\| 64 MiB, ms at \| 4 ranks \|/);
  });

  it("the README's tables and picture are those of the kept results", () => {
    const readme = readFileSync(join(REPOSITORY, "README.md"), "utf8");
    const kept = JSON.parse(readFileSync(join(REPOSITORY, "bench", "results", "peers.json"), "utf8")) as PeersResults;
    expect(readme).to.contain(`-->\n${renderPeersTables(kept)}\n\n${renderPeersNote(kept)}\n<!--`);
    expect(readFileSync(join(REPOSITORY, "bench", "results", "peers.svg"), "utf8")).to.equal(plotPeers(kept.rows));
  });
});
