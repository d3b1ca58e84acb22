/**
 * `npm run bench:peers`: one checkpoint into every rank of a node, rankcast's way and the ways that people use today, on the same files and in
 * turn. Arguments: `--mib 64,1024,4096 --ranks 1,2,4,8 --modes torch-each,… --runs 3 --python python3,… --out results.json --plot plot.svg`.
 * Progress goes to stderr, tables to stdout. Rows are added to those that `--out` has already from this machine.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { generateCheckpoint } from "../generated-checkpoint.js";
import { currentCommit, thisMachine } from "../load-results.js";
import { measureColdStart } from "./measure-cold-start.js";
import { makePeersCheckpoint, type PeersCheckpoint } from "./peers-checkpoint.js";
import { PEERS_MODES, type PeersMode, type PeersModeName } from "./peers-mode.js";
import {
  type ColdStart,
  mergeRows,
  type PeersCost,
  type PeersResults,
  type PeersRow,
  peersTargets,
  renderPeersTable,
} from "./peers-results.js";
import { plotPeers } from "./plot-peers.js";
import { compileFloor } from "./run-floor.js";
import { runMode } from "./run-mode.js";
import { findTorch, pythonsOnPath } from "./run-python.js";

const MIB = 2 ** 20;
const COLD_START_BYTES = 10 * MIB;
// Beside the models: ranks, their runtimes, and what else the machine does.
const SPARE_BYTES = 2 ** 30;

const { values } = parseArgs({
  options: {
    mib: { type: "string", default: "64,1024,4096" },
    ranks: { type: "string", default: "1,2,4,8" },
    modes: { type: "string", default: "all" },
    runs: { type: "string", default: "3" },
    python: { type: "string" },
    out: { type: "string" },
    plot: { type: "string" },
    "plot-mib": { type: "string" },
  },
});
const numbers = (text: string): number[] => text.split(",").map(Number);
const say = (text: string): void => void process.stderr.write(`${text}\n`);

const modes = chosenModes(values.modes);
const runs = Number(values.runs);
const pythons = values.python?.split(",") ?? (process.env["PYTHON"] ? [process.env["PYTHON"]] : pythonsOnPath(process.env["PATH"] ?? ""));
const [python = null] = modes.some(({ runner }) => runner === "python") ? await findTorch(pythons) : [];
const directory = mkdtempSync(join(tmpdir(), "rankcast-peers-"));
const floor = modes.some(({ runner }) => runner === "floor") ? await compileFloor(directory) : null;
const fresh: PeersRow[] = [];
let coldStart: ColdStart | null = null;
try {
  for (const mib of numbers(values.mib)) await measureSize(mib * MIB);
  if (values.modes === "all") coldStart = await coldStartOf();
} finally {
  rmSync(directory, { recursive: true, force: true });
}
finish();

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
  const checkpoint = await makePeersCheckpoint(directory, nbytes);
  for (const ranks of numbers(values.ranks)) {
    const able = modes.filter((mode) => {
      const why = obstacle(mode, ranks, nbytes);
      if (why !== null) say(`skipped: ${mode.name}, ${nbytes / MIB} MiB, ${ranks} ranks: ${why}`);
      return why === null;
    });
    const costs = new Map<PeersModeName, PeersCost[]>(able.map(({ name }) => [name, []]));
    // In turn, so that a noisy minute hits every way alike.
    for (let turn = 0; turn < runs; turn += 1) {
      for (const mode of able) costs.get(mode.name)?.push(await runMode(mode, ranks, checkpoint, { directory, python, floor }));
    }
    requireSameValues([...costs.values()].flat());
    for (const { name } of able) keepBest(name, ranks, checkpoint, costs.get(name) ?? []);
  }
  rmSync(checkpoint.pt);
  rmSync(checkpoint.safetensors);
}

/** Why a way cannot run here; null when it can. */
function obstacle(mode: PeersMode, ranks: number, nbytes: number): string | null {
  if (mode.runner === "python") {
    if (python === null)
      return "no Python with torch and gloo was found (apt-get install python3-torch, or pip install torch; --python names one)";
    if (mode.needs && python[mode.needs] === null) return `this Python has no ${mode.needs}`;
  }
  if (mode.runner === "floor" && floor === null) return "no C compiler (cc) was found";
  // The files stay in the page cache meanwhile: what pushes them out would measure the disk.
  const needed = mode.copies(ranks) * nbytes + SPARE_BYTES;
  const available = process.availableMemory();
  return needed > available ? `it needs ${Math.ceil(needed / MIB)} MiB, ${Math.floor(available / MIB)} are available` : null;
}

/** All ways have loaded the same elements, or the comparison is worth nothing. */
function requireSameValues(costs: readonly PeersCost[]): void {
  const sums = new Set(costs.flatMap(({ touched }) => (touched === null ? [] : [touched.toPrecision(9)])));
  if (sums.size > 1) throw new Error(`ways of loading disagree about the values: ${[...sums].join(", ")}`);
}

function keepBest(mode: PeersModeName, ranks: number, { bytes }: PeersCheckpoint, costs: readonly PeersCost[]): void {
  const best = costs.reduce((one, other) => (other.ms < one.ms ? other : one));
  fresh.push({ mode, ranks, checkpointBytes: bytes, ...best, runs: costs.map(({ ms }) => ms) });
  say(
    `${(bytes / MIB).toFixed(0)} MiB, ${ranks} ranks, ${mode}: ${best.ms.toFixed(0)} ms, ${(best.pssBytes / bytes).toFixed(2)} x the checkpoint`,
  );
}

async function coldStartOf(): Promise<ColdStart> {
  const { path, bytes } = await generateCheckpoint(join(directory, "small.pt"), COLD_START_BYTES);
  const best = await measureColdStart(path, bytes, join(directory, "home"), Math.max(runs, 2));
  say(`cold start: ${best.ms.toFixed(0)} ms`);
  return best;
}

function finish(): void {
  const machine = thisMachine();
  const old = values.out !== undefined && existsSync(values.out) ? (JSON.parse(readFileSync(values.out, "utf8")) as PeersResults) : null;
  const same = old !== null && JSON.stringify(old.machine) === JSON.stringify(machine);
  const rows = mergeRows(same ? old.rows : [], fresh);
  const cold = coldStart ?? (same ? old.coldStart : null);
  const features = python === null ? null : { torch: python.torch, mmap: python.mmap, safetensors: python.safetensors, gloo: python.gloo };
  const results: PeersResults = {
    machine,
    commit: currentCommit(),
    python: features ?? (same ? old.python : null),
    rows,
    coldStart: cold,
    targets: peersTargets(rows, cold),
  };
  for (const mib of numbers(values.mib)) process.stdout.write(`${renderPeersTable(rows, mib)}\n\n`);
  process.stdout.write(`${machine.cpu}, ${machine.cores} cores, Node ${machine.node}, commit ${results.commit}\n`);
  if (results.python)
    process.stdout.write(
      `torch ${results.python.torch}, mmap ${results.python.mmap === "by hand" ? "by the steps of mmap=True + assign=True, done by hand" : "its own"}, safetensors ${results.python.safetensors ?? "absent"}\n`,
    );
  for (const { name, ratio, atMost } of results.targets) {
    process.stdout.write(`${ratio <= atMost ? "kept  " : "MISSED"} ${name}: ${ratio.toPrecision(3)}, at most ${atMost.toPrecision(3)}\n`);
  }
  if (values.out !== undefined) write(values.out, `${JSON.stringify(results, null, 2)}\n`);
  if (values.plot !== undefined) write(values.plot, plotPeers(rows, Number(values["plot-mib"] ?? numbers(values.mib)[0])));
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
