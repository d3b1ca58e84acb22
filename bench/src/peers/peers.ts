/**
 * `npm run bench:peers`: one checkpoint into every rank of a node, rankcast's way and the ways that people use today, on the same files and in
 * turn. Arguments: `--mib 64,1024,4096 --ranks 1,2,4,8 --modes torch-each,… --runs 3 --python python3,… --out results.json --plot plot.svg`.
 * Progress goes to stderr, tables to stdout. What `--out` has already from this machine is kept; each number of ranks of each size is added as
 * soon as it is measured, so that a run that is stopped loses only what it was doing.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { generateCheckpoint } from "../generated-checkpoint.js";
import { KeptResults } from "./kept-results.js";
import { measureColdStart } from "./measure-cold-start.js";
import { makePeersCheckpoint, type PeersCheckpoint } from "./peers-checkpoint.js";
import { PEERS_MODES, type PeersMode } from "./peers-mode.js";
import { checkpointObstacle, obstacleOf } from "./peers-obstacle.js";
import type { PeersCost } from "./peers-results.js";
import { renderPeersNote, renderPeersTables } from "./peers-table.js";
import { compileFloor } from "./run-floor.js";
import { runMode } from "./run-mode.js";
import { findTorch, pythonsOnPath } from "./run-python.js";
import { warmFile } from "./warm-file.js";

const MIB = 2 ** 20;
const COLD_START_BYTES = 10 * MIB;
/** From here on a run takes so long that its noise is small beside it. */
const LARGE_BYTES = 4096 * MIB;
const RUNS = { small: 3, large: 2 };
/** Ways that copy nothing take no longer than a pause of a shared machine: so many runs that one of each is likely to have had none. All of them as many. */
const MAPPED_RUNS = 9;

const { values } = parseArgs({
  options: {
    mib: { type: "string", default: "64,1024,4096" },
    ranks: { type: "string", default: "1,2,4,8" },
    modes: { type: "string", default: "all" },
    runs: { type: "string" },
    python: { type: "string" },
    out: { type: "string" },
    plot: { type: "string" },
  },
});
const numbers = (text: string): number[] => text.split(",").map(Number);
const say = (text: string): void => void process.stderr.write(`${text}\n`);

const modes = chosenModes(values.modes);
const pythons = values.python?.split(",") ?? (process.env["PYTHON"] ? [process.env["PYTHON"]] : pythonsOnPath(process.env["PATH"] ?? ""));
const [python = null] = modes.some(({ runner }) => runner === "python") ? await findTorch(pythons) : [];
const directory = mkdtempSync(join(tmpdir(), "rankcast-peers-"));
removeAtExit();
const floor = modes.some(({ runner }) => runner === "floor") ? await compileFloor(directory) : null;
const kept = new KeptResults(values.out, values.plot, python);
for (const mib of numbers(values.mib)) await measureSize(mib * MIB);
if (values.modes === "all") kept.setColdStart(await coldStartOf());
process.stdout.write(`${renderPeersTables(kept.results())}\n\n${renderPeersNote(kept.results())}\n`);
for (const { name, ratio, atMost } of kept.results().targets)
  process.stdout.write(`${ratio <= atMost ? "kept  " : "MISSED"} ${name}: ${ratio.toPrecision(3)}, at most ${atMost.toPrecision(3)}\n`);
// What failed is named in the results and above; the rest was measured all the same.
if (kept.failures > 0) process.exitCode = 1;

/** The files are gigabytes: they go whatever ends this process. Ranks get the terminal's signals themselves. */
function removeAtExit(): void {
  process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(128 + constants.signals[signal]));
}

function chosenModes(text: string): PeersMode[] {
  if (text === "all") return [...PEERS_MODES];
  return text.split(",").map((name) => {
    const mode = PEERS_MODES.find((each) => each.name === name);
    if (!mode)
      throw new Error(`--modes: no way of loading is called ${name}; there are ${PEERS_MODES.map((each) => each.name).join(", ")}`);
    return mode;
  });
}

async function measureSize(nbytes: number): Promise<void> {
  const why = checkpointObstacle(directory, nbytes);
  if (why !== null) {
    for (const ranks of numbers(values.ranks)) for (const mode of modes) skip(mode, ranks, nbytes, why);
    return;
  }
  const checkpoint = await makePeersCheckpoint(directory, nbytes);
  await verifyOnce(checkpoint);
  for (const ranks of numbers(values.ranks)) await measureRanks(ranks, nbytes, checkpoint);
  rmSync(checkpoint.pt);
  rmSync(checkpoint.safetensors);
}

/** What rankcast remembers of a file that it has loaded before; `rankcast-first` has a memory of its own. */
async function verifyOnce(checkpoint: PeersCheckpoint): Promise<void> {
  const mode = modes.find(({ runner, name }) => runner === "rankcast" && name !== "rankcast-first");
  if (mode) await runMode(mode, 1, checkpoint, { directory, python, floor });
}

/** In turn, so that a noisy minute hits every way alike. A way that fails is out; the others go on. */
async function measureRanks(ranks: number, nbytes: number, checkpoint: PeersCheckpoint): Promise<void> {
  const costs = new Map<PeersMode, PeersCost[]>();
  for (const mode of modes) {
    const why = obstacleOf(mode, ranks, nbytes, { python, floor });
    if (why === null) costs.set(mode, []);
    else skip(mode, ranks, nbytes, why);
  }
  const runs = values.runs === undefined ? (nbytes < LARGE_BYTES ? RUNS.small : RUNS.large) : Number(values.runs);
  const turns = values.runs === undefined ? MAPPED_RUNS : runs;
  for (let turn = 0; turn < turns; turn += 1) {
    for (const [mode, found] of costs) {
      if (turn >= runs && mode.copies(ranks) > 0) continue;
      try {
        if (mode.reads !== null) warmFile(checkpoint[mode.reads]);
        found.push(await runMode(mode, ranks, checkpoint, { directory, python, floor }));
      } catch (error) {
        costs.delete(mode);
        const text = error instanceof Error ? error.message : String(error);
        kept.addGap({ mode: mode.name, ranks, checkpointBytes: nbytes, failed: true, why: text });
        say(`FAILED: ${mode.name}, ${nbytes / MIB} MiB, ${ranks} ranks: ${text}`);
      }
    }
  }
  requireSameValues([...costs.values()].flat());
  for (const [mode, found] of costs) say(kept.addBest(mode.name, ranks, checkpoint.bytes, found));
  kept.write();
}

function skip(mode: PeersMode, ranks: number, nbytes: number, why: string): void {
  kept.addGap({ mode: mode.name, ranks, checkpointBytes: nbytes, failed: false, why });
  say(`skipped: ${mode.name}, ${nbytes / MIB} MiB, ${ranks} ranks: ${why}`);
}

/** All ways have loaded the same elements, or the comparison is worth nothing. */
function requireSameValues(costs: readonly PeersCost[]): void {
  const sums = new Set(costs.flatMap(({ touched }) => (touched === null ? [] : [touched.toPrecision(9)])));
  if (sums.size > 1) throw new Error(`ways of loading disagree about the values: ${[...sums].join(", ")}`);
}

async function coldStartOf(): Promise<Awaited<ReturnType<typeof measureColdStart>>> {
  const { path, bytes } = await generateCheckpoint(join(directory, "small.pt"), COLD_START_BYTES);
  const best = await measureColdStart(path, bytes, join(directory, "home"), RUNS.small);
  say(`cold start: ${best.ms.toFixed(0)} ms`);
  return best;
}
