/**
 * Replays what torch did with random models and state dicts (test/fixtures-transcripts, made by test/torch/make_transcripts.py) and compares
 * texts, lists and values exactly. Where ours differs on purpose, the difference itself is expected, by its ID:
 *
 *     F4   keys under an absent child: torch reports them nowhere, ours as unexpected
 *     F11  after an error torch's model is half loaded, ours is as it was
 *     F16  tied weights: one name is enough, different values are an error
 *     H4   loading nothing is an error
 *
 * RANKCAST_TRANSCRIPTS names another recording. torch 1 looks at the first component of a key only and so lists fewer as unexpected; cases that
 * show its other differences are passed over.
 */
import { readFileSync } from "node:fs";
import { type LoadStateDictOptions, loadStateDict, Module, type ReplicaReport } from "@rankcast/core";
import { examineStateDict, toTorchMessage } from "@rankcast/core/internal";
import { expect } from "chai";
import { failureOf } from "./models.ts";
import {
  flatValues,
  inOurWords,
  type ModuleSpec,
  type RecordedCase,
  type RecordedResult,
  TranscriptModel,
  transcriptStateDict,
} from "./transcript-models.ts";

const PATH =
  process.env["RANKCAST_TRANSCRIPTS"] ?? new URL("../../../fixtures-transcripts/load-state-dict.torch-2.13.jsonl", import.meta.url);
const [head = "{}", ...lines] = readFileSync(PATH, "utf8").trim().split("\n");
const { torch: version } = JSON.parse(head) as { torch: string };
const isTorch1 = version.startsWith("1.");
const cases = lines.map((line) => JSON.parse(line) as RecordedCase);

/** torch's ways of loading in our options: its errors about shapes and its casts. */
const OPTIONS: Readonly<Record<RecordedResult["mode"], LoadStateDictOptions>> = {
  strict: { strict: true, defaultIgnores: false, allowFloatToInt: true },
  lenient: { onMismatch: "error", defaultIgnores: false, allowFloatToInt: true },
  assign: { onMismatch: "error", defaultIgnores: false, allowFloatToInt: true, assign: true, dtype: "keep" },
};

function modelOf(recorded: RecordedCase): Module {
  return new TranscriptModel(recorded).build(recorded.module) ?? new Module();
}

/** Prefixes of children that are registered as absent, found from the recording and not from our code. */
function absentPrefixes(recorded: RecordedCase, spec: ModuleSpec = recorded.module, prefix = ""): string[] {
  if (spec === null) return [prefix];
  if ("shared" in spec) return absentPrefixes(recorded, recorded.shared[spec.shared], prefix);
  return spec.children.flatMap(([name, child]) => absentPrefixes(recorded, child, `${prefix}${name}.`));
}

function checkLists(recorded: RecordedCase, result: RecordedResult, report: ReplicaReport): void {
  const absent = absentPrefixes(recorded);
  const underAbsent = (key: string): boolean => absent.some((prefix) => key.startsWith(prefix));
  const tied = new Set(report.tied.map(({ key }) => key));
  expect(report.missing).to.deep.equal(result.missing?.filter((key) => !tied.has(key)));
  const unexpected = report.unexpected.filter((key) => !underAbsent(key));
  if (isTorch1) expect(unexpected).to.include.members([...(result.unexpected ?? [])]);
  else expect(unexpected).to.deep.equal(result.unexpected);
  if (recorded.module === null || hasHooks(recorded)) return;
  const lost = recorded.entries.map(([key]) => key).filter(underAbsent);
  expect(report.unexpected.filter(underAbsent)).to.have.members(lost);
}

function hasHooks(recorded: RecordedCase): boolean {
  return JSON.stringify(recorded).match(/"hooks":\[\[/) !== null;
}

/** Compares the text of the error, unless a difference of ours is in the lists it tells. */
function checkText(result: RecordedResult, report: ReplicaReport, sameLists: boolean): void {
  const ours = toTorchMessage(result.mode === "strict" ? report : { ...report, missing: [], unexpected: [] });
  if (result.error !== null && sameLists) expect(ours).to.equal(inOurWords(result.error));
  else if (sameLists && result.mode === "strict") expect(ours).to.equal("<All keys matched successfully>");
}

function checkValues(result: RecordedResult, model: Module): void {
  const grads = [...model.namedParameters()].filter(([, parameter]) => parameter.requiresGrad).map(([name]) => name);
  // Assigning in torch makes new parameters that may leave the model's order; which are trained stays the same.
  if (result.grads) expect(grads).to.have.members([...result.grads]);
  for (const [key, [dtype, shape, values]] of Object.entries(result.after ?? {})) {
    const { found, state } = lookUp(model, key);
    if (dtype === "state") expect(state, key).to.equal(shape);
    else expect(found && [found.dtype, found.shape, flatValues(found)], key).to.deep.equal([dtype, shape, values]);
  }
}

/** A value of the model by its key; models may have parameters whose shape is still open, so there is no whole state dict. */
function lookUp(model: Module, key: string) {
  const dot = key.lastIndexOf(".");
  const owner = model.getSubmodule(dot < 0 ? "" : key.slice(0, dot));
  const name = key.slice(dot + 1);
  return {
    found: owner.ownParameters.get(name)?.tensor ?? owner.ownBuffers.get(name)?.held,
    state: name === "_extra_state" ? owner.getExtraState?.() : undefined,
  };
}

/** Every value that can be shown, to see that a failure changed none. */
function snapshot(model: Module): unknown[] {
  const parameters = [...model.namedParameters()].map(([name, { held }]) => [
    name,
    held.shape === null || held.isMeta ? held : flatValues(held),
  ]);
  return [...parameters, ...[...model.namedBuffers()].map(([name, held]) => [name, held.isMeta ? held : flatValues(held)])];
}

/** torch 1 loads a scalar from a vector of any length (F7) and sets absent batch counters to 0 (G2). */
function differsInTorch1({ mismatched, defaulted }: ReplicaReport): boolean {
  const scalar = mismatched.some(({ checkpoint, model }) => model.length === 0 && checkpoint.length === 1);
  return isTorch1 && (scalar || defaulted.length > 0);
}

function replay(recorded: RecordedCase, result: RecordedResult): void {
  const options = OPTIONS[result.mode];
  const { report } = examineStateDict(modelOf(recorded), transcriptStateDict(recorded), options);
  if (differsInTorch1(report)) return;
  const conflict = report.errors.some(({ message }) => message.startsWith("tied weights differ"));
  checkLists(recorded, result, report);
  const sameLists = result.missing?.length === report.missing.length && result.unexpected?.length === report.unexpected.length;
  if (!conflict) checkText(result, report, sameLists);
  const model = modelOf(recorded);
  const before = snapshot(model);
  const load = (): unknown => loadStateDict(model, transcriptStateDict(recorded), options);
  const nothing = report.matched === 0 && report.expected + report.unexpected.length > 0;
  const strictDiffers = result.mode === "strict" && (report.missing.length > 0 || report.unexpected.length > 0);
  const stillFails =
    result.error !== null && (result.mode !== "strict" || strictDiffers || report.errors.length + report.mismatched.length > 0);
  if (conflict || nothing || strictDiffers || stillFails) {
    expect(failureOf(load)).to.have.property("class", "state-dict");
    expect(snapshot(model)).to.deep.equal(before);
    return;
  }
  load();
  checkValues(result, model);
}

describe(`torch transcripts (${version})`, () => {
  it("hold enough of everything", () => {
    const results = cases.flatMap(({ results: each }) => each);
    expect(results.filter(({ error }) => error !== null)).to.have.length.greaterThan(100);
    expect(results.filter(({ after }) => Object.keys(after ?? {}).length > 0)).to.have.length.greaterThan(100);
    expect(cases.filter(hasHooks)).to.have.length.greaterThan(10);
    expect(cases.filter((each) => absentPrefixes(each).length > 0)).to.have.length.greaterThan(10);
  });

  for (const mode of ["strict", "lenient", "assign"] as const) {
    it(`${mode}: missing, unexpected, messages and values are torch's`, () => {
      const failures: string[] = [];
      for (const recorded of cases) {
        for (const result of recorded.results.filter((each) => each.mode === mode)) {
          try {
            replay(recorded, result);
          } catch (error) {
            failures.push(`seed ${recorded.seed}: ${error instanceof Error ? error.message : String(error)}`);
          }
        }
      }
      expect(failures).to.deep.equal([]);
    });
  }
});
