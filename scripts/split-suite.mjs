/**
 * Which files of the default suite run beside each other. What is not named here runs alone: tests of whole jobs, of threads and of
 * links judge how soon something is noticed, and a processor that is busy with other tests is no fair judge of that.
 */
import { readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { ROOT } from "./bootstrap.mjs";

/** Below `test/dist`: these compute, or wait for processes of their own for as long as those take. */
const BESIDE = [
  /^(architecture|conformance|core|docs|examples|fuzz|property|proto)\//,
  /^scenario\/(adapters|bench-load|bench-peers|canary|checkpoint-directories|command-line|extra-state|live-weights|many-nodes)\./,
  /^scenario\/(one-download|rank-group|save-crash|save-watch|shared-weights|source-failures|striped-reads|truth|update-[a-z]+|watch-remote)\./,
  /^worker\/(adapter\/|pool\/(calls|casts-once|copied-ahead|group-options|mapped-weights|pack-value)\.)/,
];
/** Exceptions: these look at the clock, or at what the whole machine has in shared memory. */
const ALONE = /^core\/(memory\/attach-storages|source\/(silence-watch|fetch-processes|network-contract))\./;
/** Seconds of processor time of the files that take longest, so that lanes end at about the same time; what is not here takes about half a second. */
const SECONDS = new Map(
  Object.entries({
    "scenario/live-weights": 80,
    "property/heap-bound-tables": 72,
    "scenario/source-failures": 45,
    "examples/examples": 42,
    "property/heap-bound": 34,
    "scenario/striped-reads": 33,
    "scenario/many-nodes": 31,
    "scenario/command-line": 24,
    "core/broadcast/simulate-broadcast": 20,
    "scenario/rank-group": 20,
    "scenario/adapters": 18,
    "worker/pool/calls": 17,
    "scenario/update-delta": 13,
    "worker/pool/copied-ahead": 13,
    "property/damaged-files": 12,
    "core/format/torch-mutations": 11,
    "scenario/save-crash": 9,
    "worker/pool/casts-once": 10,
    "core/load/verify-files": 9,
    "core/format/dcp-damage": 9,
    "docs/readme": 9,
    "scenario/update-cycle": 8,
    "scenario/checkpoint-directories": 7,
    "scenario/shared-weights": 7,
    "core/barrier/simulate-barrier": 7,
    "fuzz/run-fuzz": 7,
    "conformance/hostile-rows": 7,
  }),
);
const SECONDS_OF_OTHERS = 0.5;
const LANES_MAX = 4;

/** `lanes`: files for each of several processes at once; `alone`: files for one process when those have ended. Paths are relative to `test`. */
export function splitSuite() {
  const names = readdirSync(join(ROOT, "test", "dist"), { recursive: true })
    .map((name) => name.replaceAll("\\", "/"))
    .filter((name) => name.endsWith(".test.js"))
    .sort();
  const beside = names.filter((name) => BESIDE.some((pattern) => pattern.test(name)) && !ALONE.test(name));
  const lanes = Array.from({ length: Math.min(availableParallelism(), LANES_MAX) }, () => ({ seconds: 0, files: [] }));
  for (const name of beside.toSorted((a, b) => secondsOf(b) - secondsOf(a))) {
    const lane = lanes.reduce((least, each) => (each.seconds < least.seconds ? each : least));
    lane.files.push(`dist/${name}`);
    lane.seconds += secondsOf(name);
  }
  const alone = names.filter((name) => !beside.includes(name)).map((name) => `dist/${name}`);
  return { lanes: lanes.map(({ files }) => files), alone };
}

function secondsOf(name) {
  return SECONDS.get(name.replace(".test.js", "")) ?? SECONDS_OF_OTHERS;
}
