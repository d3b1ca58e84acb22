/** Checkpoints that live replicas leave and follow: whole files only, the same one on every rank. */
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { inspectCheckpoint } from "@rankcast/core";
import { expect } from "chai";
import { commandSandbox } from "../support/command-sandbox.js";
import { EXPECTED, FIXTURES } from "../support/fixtures.js";
import { documentsOf, launchRanks } from "../support/launch-ranks.js";

const CHECKPOINT = "accepted/torch-zip/state_dict_t213.pt";
const RANKS = 3;
const BOUND_MS = 40_000;
const PROGRAM = fileURLToPath(new URL("programs/save-watch.js", import.meta.url));
const truth = EXPECTED.get(CHECKPOINT)?.tensors?.map(({ name, sha256 }) => [name, sha256]);

interface RankDocument {
  readonly nothing: unknown;
  readonly paths: readonly string[];
  readonly resumed: unknown;
  readonly before: unknown;
  readonly loaded: readonly unknown[];
  readonly refused: unknown;
  readonly seen: readonly unknown[];
  readonly told: readonly unknown[];
  readonly gathered: readonly unknown[];
}

describe("scenario: saving from live replicas, resuming, watching", function () {
  this.timeout(BOUND_MS + 10_000);
  const sandbox = commandSandbox();

  it("what is saved is what was loaded, in one file and in one per rank; what appears becomes a generation on every rank", async () => {
    const folder = join(sandbox().directory, "run");
    mkdirSync(folder);
    const args = [FIXTURES + CHECKPOINT, folder];
    const results = await launchRanks(sandbox(), PROGRAM, RANKS, { args, timeoutMs: BOUND_MS });
    const documents = documentsOf<RankDocument>(results);
    // In the middle of the one that was written with a pause nothing was said; of the one whose writer had died, once, by the rank that looks.
    const told = documents.map((document) => document.told);
    expect(told).to.deep.equal([[["RANKCAST_WATCH_INCOMPLETE", "step-000011.safetensors", "truncated"]], [], []]);
    for (const document of documents) {
      expect(document.nothing).to.equal(null);
      expect(document.paths).to.deep.equal([join(folder, "step-000000.safetensors"), join(folder, "step-000007")]);
      expect(document.resumed).to.deep.equal({ weights: join(folder, "step-000007"), step: 7 });
      expect(document.before).to.deep.equal([truth, truth]);
      expect(document.loaded).to.deep.equal([
        [truth, truth],
        [truth, truth],
      ]);
      expect(document.refused).to.be.an("array").with.property("1", 0);
      expect(document.seen).to.deep.equal([
        [8, (document.seen[0] as unknown[])[1], 3],
        [9, [9, 9], 4],
        [10, [10, 10], 5],
        [11, [11, 11], 6],
      ]);
      expect(document.gathered).to.deep.equal([0, 2, 4]);
    }
    // `keep: 2` left the newest two of its own, and nothing half-written of steps before.
    expect(readdirSync(folder).sort()).to.deep.equal([
      ".step-000099.safetensors.77.ab.tmp",
      "step-000007",
      "step-000008.safetensors",
      "step-000009.safetensors",
      "step-000009.safetensors.tmp",
      "step-000010.safetensors",
      "step-000010.safetensors.tmp",
      "step-000011.safetensors",
    ]);
    const shards = readdirSync(join(folder, "step-000007")).sort();
    expect(shards)
      .to.include("model.safetensors.index.json")
      .and.have.length(RANKS + 1);
    expect((await inspectCheckpoint(join(folder, "step-000007"))).tensors).to.have.length(truth?.length ?? -1);
  });
});
