/**
 * Replays what vis4d's own load_state_dict did with random models and state dicts (test/fixtures-transcripts, made by
 * test/torch/make_vis4d_transcripts.py), wrapped modules and tied parameters among them, and compares texts and values exactly. What differs on
 * purpose is expected by its ID:
 *
 *     F4   keys under an absent child: reported nowhere there, unexpected here
 *     F7   a scalar takes a vector of one element, in torch 1 of any number
 *     F16  tied weights: one name is enough, different values are an error
 *     G2   absent batch counters: 0 in torch 1, the model's here
 *     H4   loading nothing is an error
 */
import { readFileSync } from "node:fs";
import { type LoadStateDictOptions, loadStateDict, Module, unwrapModule } from "@rankcast/core";
import { examineStateDict, toVis4dMessage } from "@rankcast/core/internal";
import { expect } from "chai";
import { failureOf } from "./models.ts";
import {
  flatValues,
  inOurWords,
  type RecordedCase,
  type RecordedResult,
  TranscriptModel,
  transcriptStateDict,
} from "./transcript-models.ts";

interface Vis4dResult extends RecordedResult {
  /** What was printed when it did not raise. */
  readonly warning: string;
}

const PATH =
  process.env["RANKCAST_VIS4D_TRANSCRIPTS"] ?? new URL("../../../fixtures-transcripts/load-state-dict.vis4d.jsonl", import.meta.url);
const [, ...lines] = readFileSync(PATH, "utf8").trim().split("\n");
const cases = lines.map((line) => JSON.parse(line) as RecordedCase & { readonly results: readonly Vis4dResult[] });

function modelOf(recorded: RecordedCase): Module {
  return new TranscriptModel(recorded).build(recorded.module) ?? new Module();
}

function optionsOf({ mode }: Vis4dResult): LoadStateDictOptions {
  return { strict: mode === "strict", allowFloatToInt: true };
}

/** Gives what happened, for the counts; `apart` is a difference that is meant. */
function replay(recorded: RecordedCase, result: Vis4dResult): "failed" | "loaded" | "apart" {
  const { report } = examineStateDict(modelOf(recorded), transcriptStateDict(recorded), optionsOf(result));
  if (report.errors.some(({ message }) => message.startsWith("tied weights differ"))) {
    expect(failureOf(() => loadStateDict(modelOf(recorded), transcriptStateDict(recorded), optionsOf(result)))).to.have.property("code");
    return "apart";
  }
  // torch 1 takes the first element of a vector of any length for a scalar (F7).
  if (report.mismatched.some(({ checkpoint, model: shape }) => shape.length === 0 && checkpoint.length === 1)) return "apart";
  const tied = report.tied.map(({ key }) => key);
  const missing = [...report.missing, ...tied];
  const theirs = inOneLine(inOurWords(result.error ?? result.warning), missing);
  expect(inOneLine(toVis4dMessage({ ...report, missing }), missing)).to.equal(theirs);
  const model = modelOf(recorded);
  const load = (): unknown => loadStateDict(model, transcriptStateDict(recorded), optionsOf(result));
  if (report.matched === 0 || (result.error !== null && theirs !== inOneLine("", missing) && !onlyTied(report))) {
    if (report.matched > 0 || report.expected > 0) expect(failureOf(load)).to.have.property("class", "state-dict");
    return "failed";
  }
  load();
  const defaulted = new Set(report.defaulted.map(({ key }) => key));
  for (const [key, [dtype, shape, values]] of Object.entries(result.after ?? {})) {
    if (defaulted.has(key)) continue;
    const { found, state } = lookUp(model, key);
    if (dtype === "state") expect(state, key).to.equal(shape);
    else expect(found && [found.dtype, found.shape, flatValues(found)], key).to.deep.equal([dtype, shape, values]);
  }
  return "loaded";
}

/** Whether all that vis4d complains of is that names of tied parameters are absent. */
function onlyTied(report: ReturnType<typeof examineStateDict>["report"]): boolean {
  return report.missing.length + report.unexpected.length + report.mismatched.length + report.errors.length === 0;
}

/** The text without the order in which absent names of tied parameters stand among the missing ones. */
function inOneLine(text: string, missing: readonly string[]): string {
  return text.replace(/missing keys in source state_dict: (.*)/, (_, list: string) => {
    const names = list.split(", ");
    expect(missing.filter((key) => !key.includes("num_batches_tracked"))).to.have.members(names);
    return names.toSorted().join(", ");
  });
}

function lookUp(model: Module, key: string) {
  const dot = key.lastIndexOf(".");
  const owner = unwrapModule(unwrapModule(model).getSubmodule(dot < 0 ? "" : key.slice(0, dot)));
  const name = key.slice(dot + 1);
  return {
    found: owner.ownParameters.get(name)?.tensor ?? owner.ownBuffers.get(name)?.held,
    state: name === "_extra_state" ? owner.getExtraState?.() : undefined,
  };
}

describe("vis4d transcripts", () => {
  it("F, G7, H1: texts and values are vis4d's", () => {
    const failures: string[] = [];
    const outcomes = { failed: 0, loaded: 0, apart: 0 };
    for (const recorded of cases) {
      for (const result of recorded.results) {
        try {
          outcomes[replay(recorded, result)] += 1;
        } catch (error) {
          failures.push(`seed ${recorded.seed} ${result.mode}: ${error instanceof Error ? error.message : String(error)}`);
        }
      }
    }
    expect(failures.slice(0, 5)).to.deep.equal([]);
    expect(outcomes.failed).to.be.above(cases.length / 5);
    expect(outcomes.loaded).to.be.above(cases.length / 2);
    expect(outcomes.apart).to.be.below(cases.length / 5);
  });

  it("hold enough of everything", () => {
    const text = (recorded: RecordedCase) => JSON.stringify(recorded);
    expect(cases.filter((each) => text(each).includes('"wrapped"')).length).to.be.above(cases.length / 4);
    expect(cases.filter((each) => /\["tied",\d/.test(text(each))).length).to.be.above(cases.length / 4);
    expect(cases.filter((each) => text(each).includes("size mismatch")).length).to.be.above(cases.length / 20);
    expect(cases.filter((each) => text(each).includes("unexpected key")).length).to.be.above(cases.length / 10);
  });
});
