/** Which checkpoint of a folder is the newest complete one, in the layouts that trainers leave behind. */
import { mkdirSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { type CurrentCheckpointOptions, currentCheckpoint, findLatestCheckpoint } from "@rankcast/core";
import { expect } from "chai";
import { temporaryDirectory } from "../../support/temporary-directory.js";

const directory = temporaryDirectory();

const HEADER = JSON.stringify({ a: { dtype: "F32", shape: [2], data_offsets: [0, 8] } });
const WHOLE = Buffer.concat([Buffer.from(BigUint64Array.of(BigInt(HEADER.length)).buffer), Buffer.from(HEADER), Buffer.alloc(8)]);
const CUT = WHOLE.subarray(0, -1);
const INDEX = JSON.stringify({ metadata: {}, weight_map: { a: "model-00001-of-00001.safetensors" } });

/** Files by relative name, of one whole tensor unless something else is said. */
function folder(files: Readonly<Record<string, string | Uint8Array>>): string {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(directory(), name)), { recursive: true });
    writeFileSync(join(directory(), name), content === "" ? WHOLE : content);
  }
  return directory();
}

const CASES: readonly (readonly [
  title: string,
  files: Readonly<Record<string, string | Uint8Array>>,
  newest: string | null,
  step: number | null,
])[] = [
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
    { "step-1.safetensors": "", "step-2/model.safetensors.index.json": INDEX, "step-2/model-00001-of-00001.safetensors": "" },
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
  ["a file that was cut off", { "step-1.safetensors": "", "step-2.safetensors": CUT }, "step-1.safetensors", 1],
  ["a folder with a shard that was cut off", cutShard(CUT), "step-1.pt", 1],
  ["a folder without one of its shards", cutShard(null), "step-1.pt", 1],
  [
    "a folder with files that a trainer writes beside",
    { "step-9/model.safetensors": "", "step-9/optimizer.pt": "no checkpoint" },
    "step-9",
    9,
  ],
  ["a pointer to what is cut off", { latest: "step-2.pt", "step-2.pt": CUT, "step-1.pt": "" }, null, null],
  [
    "shards of a folder that is a checkpoint itself",
    { "model.safetensors.index.json": INDEX, "model-00001-of-00001.safetensors": "" },
    null,
    null,
  ],
  [
    "what lies beside a model",
    { "model.safetensors": "", "optimizer.pt": "no checkpoint", "rng_state_0.pth": "" },
    "model.safetensors",
    null,
  ],
  ["other files are none", { "log-99.txt": "", "step-1.pt": "", "events.out.tfevents.1234": "" }, "step-1.pt", 1],
];

/** Beside a whole one a newer one of one shard, which is as given or absent. */
function cutShard(shard: Uint8Array | null): Record<string, string | Uint8Array> {
  return {
    "step-1.pt": "",
    "step-2/model.safetensors.index.json": INDEX,
    ...(shard && { "step-2/model-00001-of-00001.safetensors": shard }),
  };
}

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
    const path = folder({ "model.pt": "" });
    const first = await currentCheckpoint(path);
    expect((await currentCheckpoint(path))?.identity).to.equal(first?.identity);
    writeFileSync(join(path, "model.pt"), Buffer.concat([WHOLE, Buffer.alloc(1)]));
    expect((await currentCheckpoint(path))?.identity).to.not.equal(first?.identity);
  });

  it("a file in a folder that is written in place is another checkpoint; one beside its weights is not", async () => {
    const path = folder({ "step-1/model.safetensors": "" });
    const first = await findLatestCheckpoint(path);
    folder({ "step-1/optimizer.pt": "", "step-1/trainer_state.json": "{}" });
    expect(await findLatestCheckpoint(path)).to.deep.equal(first);
    utimesSync(join(path, "step-1/model.safetensors"), 1000, 1000);
    expect((await findLatestCheckpoint(path))?.path).to.equal(first?.path);
    expect((await findLatestCheckpoint(path))?.identity).to.not.equal(first?.identity);
    truncateSync(join(path, "step-1/model.safetensors"), WHOLE.length - 1);
    expect(await findLatestCheckpoint(path)).to.equal(null);
  });

  it("what is not whole is told, the newest first", async () => {
    const path = folder({ "step-1.pt": "", "step-2.pt": CUT, "step-3.pt": CUT });
    const told: unknown[] = [];
    const onIncomplete: CurrentCheckpointOptions["onIncomplete"] = ({ weights, cause }) => told.push([basename(weights), cause.class]);
    expect((await currentCheckpoint(path, { onIncomplete }))?.weights).to.equal(join(path, "step-1.pt"));
    expect(await currentCheckpoint(join(path, "step-2.pt"), { onIncomplete })).to.equal(null);
    expect(told).to.deep.equal([
      ["step-3.pt", "truncated"],
      ["step-2.pt", "truncated"],
      ["step-2.pt", "truncated"],
    ]);
  });

  it("a folder that is one checkpoint of several files is that checkpoint, not one of its files", async () => {
    const path = folder({ "model.safetensors.index.json": INDEX, "model-00001-of-00001.safetensors": "" });
    expect((await currentCheckpoint(path))?.weights).to.equal(path);
  });

  it("paths are written as for loads", async () => {
    const path = folder({ "step-1.pt": "" });
    const expected = join(path, "step-1.pt");
    expect((await findLatestCheckpoint(pathToFileURL(path).href))?.path).to.equal(expected);
    expect((await currentCheckpoint(pathToFileURL(path).href))?.weights).to.equal(expected);
    expect((await currentCheckpoint(`~/${relative(homedir(), path)}`))?.weights).to.equal(expected);
  });
});
