/** DeepSpeed checkpoints. Files and expected values: test/fixtures-zero/generate.py. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CheckpointError, compileLimits, StateDict, Storage, saveTorch, Tensor } from "@rankcast/core";
import {
  type CheckpointTree,
  memorySource,
  noSiblings,
  readCheckpoint,
  resolved,
  type TensorRef,
  type TreeDict,
} from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.js";
import { fixtureBytes } from "../../support/fixtures.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";
import { digestTree, directoryFiles, memorySiblings } from "./sources.ts";

const ROOT = fileURLToPath(new URL("../../../fixtures-zero/", import.meta.url));
const EXPECTED = JSON.parse(readFileSync(join(ROOT, "expected.json"), "utf8")) as Record<string, { name: string }[]>;

function readFiles(files: ReadonlyMap<string, Uint8Array>): Promise<CheckpointTree> {
  return readCheckpoint(resolved("dir", null, memorySiblings(files)), { limits: compileLimits() });
}

const filesOf = (name: string): Map<string, Uint8Array> => directoryFiles(join(ROOT, name));

describe("zero", () => {
  for (const [name, tensors] of Object.entries(EXPECTED)) {
    it(`gives the whole 32-bit state dict of ${name}`, async () => {
      const tree = await readFiles(filesOf(name));
      expect(tree.format).to.equal("zero");
      expect(await digestTree(tree)).to.deep.equal(tensors);
    });
  }

  it("says which stage, how many ranks, and ties shared parameters", async () => {
    const tree = await readFiles(filesOf("zero3"));
    expect([...tree.fileMetadata]).to.deep.equal([
      ["zero_stage", "3"],
      ["world_size", "2"],
      ["ds_version", "0.14.4"],
    ]);
    const { entries } = tree.root as TreeDict;
    expect((entries.get("head.weight") as TensorRef).storage).to.equal((entries.get("embed.weight") as TensorRef).storage);
    expect((entries.get("embed.weight") as TensorRef).storage.pieces.length).to.equal(2);
  });

  it("orders ranks by number, not by digits", async () => {
    // Twelve ranks of one parameter of 24 elements, two each; names sort as 0, 1, 10, 11, 2 … as text.
    const files = filesOf("zero1_lean");
    const tree = await readFiles(new Map([...files].reverse()));
    expect(await digestTree(tree)).to.deep.equal(EXPECTED["zero1_lean"]);
    const renamed = new Map(
      [...files].map(([name, bytes]) => [
        name.replace("rank_1_mp", "rank_10_mp").replace("rank_2_mp", "rank_11_mp").replace("rank_0_mp", "rank_9_mp"),
        bytes,
      ]),
    );
    expect(await digestTree(await readFiles(renamed))).to.deep.equal(EXPECTED["zero1_lean"]);
  });

  for (const [why, change, code] of [
    [
      "a rank's file missing",
      (files: Map<string, Uint8Array>) => files.delete("global_step5/zero_pp_rank_1_mp_rank_00_optim_states.pt"),
      "RANKCAST_ZERO_LAYOUT",
    ],
    [
      "a rank's file of another save",
      (files: Map<string, Uint8Array>) =>
        files.set(
          "global_step5/zero_pp_rank_1_mp_rank_00_optim_states.pt",
          filesOf("zero1_lean").get("global_step5/zero_pp_rank_1_mp_rank_00_optim_states.pt") as Uint8Array,
        ),
      "RANKCAST_ZERO_LAYOUT",
    ],
    [
      "a rank too many",
      (files: Map<string, Uint8Array>) =>
        files.set(
          "global_step5/zero_pp_rank_2_mp_rank_00_optim_states.pt",
          files.get("global_step5/zero_pp_rank_1_mp_rank_00_optim_states.pt") as Uint8Array,
        ),
      "RANKCAST_ZERO_LAYOUT",
    ],
    [
      "an optimizer state without ZeRO",
      (files: Map<string, Uint8Array>) =>
        files.set(
          "global_step5/zero_pp_rank_1_mp_rank_00_optim_states.pt",
          filesOf("zero0").get("step_1/mp_rank_00_model_states.pt") as Uint8Array,
        ),
      "RANKCAST_ZERO_LAYOUT",
    ],
    [
      "no model states",
      (files: Map<string, Uint8Array>) =>
        [...files.keys()].filter((name) => name.includes("model_states")).map((name) => files.delete(name)),
      "RANKCAST_ZERO_LAYOUT",
    ],
    [
      "a folder that is not there",
      (files: Map<string, Uint8Array>) => files.set("latest", Buffer.from("global_step6")),
      "RANKCAST_ZERO_LAYOUT",
    ],
    ["a folder outside", (files: Map<string, Uint8Array>) => files.set("latest", Buffer.from("../elsewhere")), "RANKCAST_UNSAFE_PATH"],
    [
      "a file that is cut",
      (files: Map<string, Uint8Array>) =>
        files.set(
          "global_step5/mp_rank_00_model_states.pt",
          (files.get("global_step5/mp_rank_00_model_states.pt") as Uint8Array).subarray(0, 1000),
        ),
      "RANKCAST_TRUNCATED",
    ],
  ] as const) {
    it(`refuses ${why}`, async () => {
      const files = filesOf("zero2");
      change(files);
      await expectError(code, () => readFiles(files));
    });
  }

  it("a small checkpoint of another format may be called latest", async () => {
    for (const [path, format] of [
      ["safetensors/basic.safetensors", "safetensors"],
      ["pickle/numpy_p4_t113.pkl", "pickle"],
    ] as const) {
      const entry = memorySource(fixtureBytes(`accepted/${path}`), "/runs/latest");
      expect(entry.sizeBytes, path).to.be.at.most(512);
      const tree = await readCheckpoint(resolved("latest", entry, noSiblings("latest")), { limits: compileLimits() });
      expect(tree.format).to.equal(format);
    }
  });

  it("says that a folder must be listed", async () => {
    const siblings = { ...memorySiblings(filesOf("zero2")), list: async () => null };
    const entry = memorySource(Buffer.from("global_step5"), "https://host/latest");
    const error = await expectError("RANKCAST_UNSUPPORTED", () =>
      readCheckpoint(resolved("url", entry, siblings), { limits: compileLimits() }),
    );
    expect(error.remedy).to.contain("Download");
  });

  describe("with made-up states", () => {
    const directory = temporaryDirectory();
    let made = 0;

    /** A torch file with `value` under each key; plain values only. */
    async function torchFile(values: Readonly<Record<string, unknown>>): Promise<Uint8Array> {
      const stateDict = new StateDict();
      for (const [name, value] of Object.entries(values)) stateDict.extraState.set(name, value);
      made += 1;
      const path = join(directory(), `${made}.pt`);
      await saveTorch(path, stateDict);
      return readFileSync(path);
    }

    const vector = (...values: number[]) => Tensor.from(Float32Array.from(values), [values.length]);
    const model = (shapes: unknown, more: object = {}) =>
      torchFile({ module: {}, buffer_names: [], param_shapes: shapes, shared_params: {}, ...more });
    const optimizer = (stage: number, ranks: unknown, groups: unknown) =>
      torchFile({
        optimizer_state_dict: {
          zero_stage: stage,
          partition_count: ranks,
          [stage === 3 ? "fp32_flat_groups" : "single_partition_of_fp32_groups"]: groups,
        },
      });
    const read = async (states: Promise<Uint8Array>, ...ranks: Promise<Uint8Array>[]) => {
      const files = new Map<string, Uint8Array>([
        ["latest", Buffer.from("t")],
        ["t/mp_rank_00_model_states.pt", await states],
      ]);
      for (const [rank, bytes] of ranks.entries()) files.set(`t/zero_pp_rank_${rank}_optim_states.pt`, await bytes);
      return readFiles(files);
    };

    it("reads a parameter that crosses ranks, and leaves padding out", async () => {
      const tree = await read(model([{ a: [1], b: [3, 1] }]), optimizer(2, 2, [vector(1, 2)]), optimizer(2, 2, [vector(3, 4)]));
      const b = (tree.root as TreeDict).entries.get("b") as TensorRef;
      expect(b.storage.pieces.map(({ at, nbytes }) => [at, nbytes])).to.deep.equal([
        [0, 4],
        [4, 8],
      ]);
      const third = await read(model([{ a: [3] }]), optimizer(3, 2, [vector(1, 2)]), optimizer(3, 2, [vector(3, 0)]));
      const a = (third.root as TreeDict).entries.get("a") as TensorRef;
      expect(a.storage.pieces.map(({ at, nbytes }) => [at, nbytes])).to.deep.equal([
        [0, 8],
        [8, 4],
      ]);
    });

    it("takes up to twice the ranks of padding, and no more", async () => {
      const ranks = (each: number) => Array.from({ length: 3 }, () => optimizer(2, 3, [vector(...Array.from({ length: each }, () => 1))]));
      expect(((await read(model([{ a: [1] }]), ...ranks(2))).root as TreeDict).entries.size).to.equal(1);
      await expectError("RANKCAST_ZERO_LAYOUT", () => read(model([{ a: [1] }]), ...ranks(3)));
    });

    for (const [why, text, states, ranks] of [
      [
        "vectors shorter than the parameters",
        "ends at element 9 of a group of 2",
        () => model([{ a: [9] }]),
        () => [optimizer(2, 1, [vector(1, 2)])],
      ],
      [
        "vectors longer than parameters and padding",
        "take 1 of the 3 elements",
        () => model([{ a: [1] }]),
        () => [optimizer(2, 1, [vector(1, 2, 3)])],
      ],
      [
        "stage 3 vectors shorter than the parameters",
        "ends at element 3 of 2",
        () => model([{ a: [3] }]),
        () => [optimizer(3, 1, [vector(1, 2)])],
      ],
      [
        "stage 3 vectors longer than the parameters",
        "take 1 of 2 elements",
        () => model([{ a: [1] }]),
        () => [optimizer(3, 1, [vector(1, 2)])],
      ],
      [
        "more groups than the model",
        "2 parameter groups where the model has 1",
        () => model([{ a: [1] }]),
        () => [optimizer(2, 1, [vector(1), vector(1)])],
      ],
      [
        "one name in two groups",
        "two parameters are named",
        () => model([{ a: [1] }, { a: [1] }]),
        () => [optimizer(2, 1, [vector(1, 0), vector(1, 0)])],
      ],
      [
        "stages that differ",
        "stage 3 beside files of stage 2",
        () => model([{ a: [2] }]),
        () => [optimizer(2, 2, [vector(1)]), optimizer(3, 2, [vector(1)])],
      ],
      ["a stage that does not exist", "zero_stage is not", () => model([{ a: [1] }]), () => [optimizer(4, 1, [vector(1)])]],
      ["no number of ranks", "partition_count is no number", () => model([{ a: [1] }]), () => [optimizer(2, "2", [vector(1)])]],
      ["a group that is no tensor", "is no list of flat tensors", () => model([{ a: [1] }]), () => [optimizer(2, 1, [1])]],
      ["a shape that is no list", "something unexpected at", () => model([{ a: 1 }]), () => [optimizer(2, 1, [vector(1)])]],
      ["a shape above 2^53", "something unexpected at", () => model([{ a: [2 ** 40, 2 ** 40] }]), () => [optimizer(2, 1, [vector(1)])]],
      [
        "a frozen parameter without its fragment",
        "no fragment of the frozen parameter",
        () => model([{}], { frozen_param_shapes: { f: [1] } }),
        () => [optimizer(2, 1, [vector()])],
      ],
      [
        "a frozen fragment that is too short",
        "have 1 of 2 elements",
        () => model([{}], { frozen_param_shapes: { f: [2] }, frozen_param_fragments: { f: vector(1) } }),
        () => [optimizer(2, 1, [vector()])],
      ],
      [
        "groups of several types",
        "has several types",
        () => model([{ a: [2] }]),
        () => [optimizer(2, 2, [vector(1)]), optimizer(2, 2, [new Tensor({ dtype: "float16", shape: [1], storage: Storage.allocate(2) })])],
      ],
      ["no buffer names", "no model state", () => torchFile({ module: {}, param_shapes: [] }), () => [optimizer(2, 1, [vector(1)])]],
    ] as const) {
      it(`refuses ${why}`, async () => {
        expect((await expectError("RANKCAST_ZERO_LAYOUT", () => read(states(), ...ranks()))).message).to.contain(text);
      });
    }
  });

  it("gives equal tensors or a typed error for every changed byte of a rank's file", async () => {
    const files = filesOf("zero2");
    const name = "global_step5/zero_pp_rank_0_mp_rank_00_optim_states.pt";
    const bytes = files.get(name) as Uint8Array;
    const shapes = (EXPECTED["zero2"] ?? []).map((row) => row.name);
    for (let at = 0; at < bytes.length; at += 1) {
      try {
        const tree = await readFiles(new Map([...files, [name, Buffer.from(bytes).fill((bytes[at] ?? 0) ^ 0xff, at, at + 1)]]));
        // Parts of records have no checksum of their own: values may differ, names and sizes may not.
        expect((await digestTree(tree)).map((row) => row.name)).to.deep.equal(shapes);
      } catch (error) {
        if (!(error instanceof CheckpointError)) throw error;
      }
    }
  }).timeout(60_000);
});
