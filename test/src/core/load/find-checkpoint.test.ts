/** Which checkpoint of a folder is the newest complete one, in the layouts that trainers leave behind. */
import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { currentCheckpoint, findLatestCheckpoint } from "@rankcast/core";
import { expect } from "chai";
import { temporaryDirectory } from "../../support/temporary-directory.js";

const directory = temporaryDirectory();

/** Files by relative name; the content does not matter to the search. */
function folder(files: Readonly<Record<string, string>>): string {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(directory(), name)), { recursive: true });
    writeFileSync(join(directory(), name), content);
  }
  return directory();
}

const CASES: readonly (readonly [title: string, files: Readonly<Record<string, string>>, newest: string | null, step: number | null])[] = [
  ["an empty folder", {}, null, null],
  [
    "steps of ours",
    { "step-000002.safetensors": "", "step-000010.safetensors": "", "step-000009.safetensors": "" },
    "step-000010.safetensors",
    10,
  ],
  ["numbers without leading zeros", { "model_9.pt": "", "model_100.pt": "", "model_20.pt": "" }, "model_100.pt", 100],
  [
    "what is still being written does not count",
    { "step-1.safetensors": "", ".step-2.safetensors.77.ab.tmp": "", "step-3.safetensors.tmp": "" },
    "step-1.safetensors",
    1,
  ],
  ["folders of a trainer", { "checkpoint-500/model.safetensors": "", "checkpoint-1000/model.safetensors": "" }, "checkpoint-1000", 1000],
  [
    "a folder without weights yet",
    { "checkpoint-500/model.safetensors": "", "checkpoint-1000/trainer_state.json": "" },
    "checkpoint-500",
    500,
  ],
  ["shards without their index", { "step-1/model.safetensors": "", "step-2/model-00001-of-00002.safetensors": "" }, "step-1", 1],
  [
    "a folder of shards with an index",
    { "step-1.safetensors": "", "step-2/model.safetensors.index.json": "{}", "step-2/model-00001-of-00001.safetensors": "" },
    "step-2",
    2,
  ],
  [
    "the pointer wins",
    { latest: "global_step10\n", "global_step10/model.safetensors": "", "global_step20/model.safetensors": "" },
    "global_step10",
    10,
  ],
  ["a pointer that leads elsewhere does not", { latest: "../../etc", "step-1.pt": "" }, "step-1.pt", 1],
  ["a pointer to what is not there does not", { latest: "step-9.pt", "step-1.pt": "" }, "step-1.pt", 1],
  ["other files are none", { "log-99.txt": "", "step-1.pt": "", "events.out.tfevents.1234": "" }, "step-1.pt", 1],
];

describe("findLatestCheckpoint", () => {
  for (const [title, files, newest, step] of CASES) {
    it(title, async () => {
      const found = await findLatestCheckpoint(folder(files));
      expect(found?.path ?? null).to.equal(newest === null ? null : join(directory(), newest));
      expect(found?.step ?? null).to.equal(step);
    });
  }

  it("without numbers the newest one", async () => {
    const path = folder({ "old.pt": "", "new.pt": "" });
    utimesSync(join(path, "old.pt"), 1000, 1000);
    expect((await findLatestCheckpoint(path))?.path).to.equal(join(path, "new.pt"));
  });

  it("an absent folder holds none; a replaced file is another checkpoint", async () => {
    expect(await findLatestCheckpoint(join(directory(), "nowhere"))).to.equal(null);
    expect(await currentCheckpoint(join(directory(), "nowhere"))).to.equal(null);
    for (const files of [{}, { ".model.safetensors.77.ab.tmp": "" }, { "model-00001-of-00002.safetensors.tmp": "", "README.md": "" }]) {
      expect(await currentCheckpoint(folder(files)), "nothing complete yet").to.equal(null);
    }
    const path = folder({ "model.pt": "1" });
    const first = await currentCheckpoint(path);
    expect((await currentCheckpoint(path))?.identity).to.equal(first?.identity);
    writeFileSync(join(path, "model.pt"), "22");
    expect((await currentCheckpoint(path))?.identity).to.not.equal(first?.identity);
  });
});
