/**
 * `npm run fuzz -- [--inputs N] [--seconds N] [--seed N] [--threads N] [--reader NAME] [--grow] [--replay PATH]`: feeds changed checkpoints to
 * every reader. What must not happen is written below `test/fuzz-findings`, as small as it could be made. Inputs of new kinds are added to
 * `test/fuzz-corpus` with `--grow`.
 */
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { examineInput } from "./examine-input.ts";
import type { LaneFinding } from "./fuzz-lane.ts";
import { CORPUS } from "./fuzz-seeds.ts";
import { runFuzz } from "./run-fuzz.ts";

const FINDINGS = fileURLToPath(new URL("../../fuzz-findings", import.meta.url));
const KEPT_BYTES_MAX = 6000;

const { values } = parseArgs({
  options: {
    inputs: { type: "string", default: "5000000" },
    seconds: { type: "string", default: "900" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
    threads: { type: "string", default: String(Math.min(availableParallelism(), 16)) },
    reader: { type: "string" },
    grow: { type: "boolean", default: false },
    replay: { type: "string" },
  },
});

const say = (text: string): boolean => process.stdout.write(`${text}\n`);

process.exitCode = values.replay === undefined ? await fuzz() : await replay(values.replay);

async function fuzz(): Promise<number> {
  const wanted = Number(values.inputs);
  say(`fuzzing with seed ${values.seed}: at most ${wanted} inputs, ${values.seconds} s, ${values.threads} threads`);
  const result = await runFuzz({
    inputs: wanted,
    seconds: Number(values.seconds),
    seed: Number(values.seed),
    threads: Number(values.threads),
    reader: values.reader,
    grow: values.grow,
    onProgress: (inputs, seconds) => say(`${inputs} inputs in ${Math.round(seconds)} s`),
  });
  for (const finding of result.failures) write(finding, FINDINGS, `${finding.reader}-${values.seed}-${finding.index}`);
  if (values.grow)
    for (const finding of smallest(result.novel)) write(finding, join(CORPUS, finding.reader), `${values.seed}-${finding.index}`);
  const failed = new Set(result.failures.map(({ reader }) => reader));
  for (const [reader, count] of result.byReader) say(`  ${failed.has(reader) ? "✖" : "✔"} ${reader}: ${count} inputs`);
  for (const { reader, seed, index, text } of result.failures) say(`\n${reader}, input ${index}, made from ${seed}: ${text}`);
  const rate = Math.round(result.inputs / result.seconds);
  say(`\n${result.inputs} inputs in ${Math.round(result.seconds)} s (${rate}/s), seed ${values.seed}`);
  if (result.missing > 0) say(`  ✖ stopped before all ${wanted} inputs: ${result.missing} were not examined`);
  // Counted like tests: one per reader, and one for the end.
  const failing = failed.size + (result.missing > 0 ? 1 : 0);
  say(`  ${result.byReader.size + 1 - failing} passing`);
  if (failing > 0) say(`  ${failing} failing`);
  return failing === 0 ? 0 : 1;
}

/** One per kind, if it is small. */
function smallest(findings: readonly LaneFinding[]): readonly LaneFinding[] {
  const kinds = new Map<string, LaneFinding>();
  for (const finding of findings) {
    const known = kinds.get(finding.text);
    if (sizeOf(finding) <= KEPT_BYTES_MAX && (!known || sizeOf(finding) < sizeOf(known))) kinds.set(finding.text, finding);
  }
  return [...kinds.values()];
}

function sizeOf({ files }: LaneFinding): number {
  return [...files.values()].reduce((sum, bytes) => sum + bytes.length, 0);
}

function write({ files }: LaneFinding, directory: string, name: string): void {
  mkdirSync(directory, { recursive: true });
  const [only] = files.values();
  if (files.size === 1 && only) {
    writeFileSync(join(directory, name), only);
    return;
  }
  for (const [each, bytes] of files) {
    mkdirSync(dirname(join(directory, name, each)), { recursive: true });
    writeFileSync(join(directory, name, each), bytes);
  }
}

/** Examines a file or directory as it is. */
async function replay(path: string): Promise<number> {
  const names = statSync(path).isDirectory()
    ? readdirSync(path, { recursive: true })
        .map(String)
        .filter((name) => !statSync(join(path, name)).isDirectory())
    : ["input"];
  const files = new Map(names.map((name) => [name, new Uint8Array(readFileSync(names[0] === "input" ? path : join(path, name)))]));
  const entry = names.find((name) => name === "input" || name.endsWith(".json")) ?? "";
  const { signature, failure } = await examineInput({ reader: values.reader ?? "any", seed: path, entry, files });
  say(`${signature()}\n${failure ?? "no failure"}`);
  return failure === null ? 0 : 1;
}
