import { discoverEntry } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";

const discover = (...names: string[]): string => discoverEntry([...names].sort(), "/models/x");
const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

describe("discoverEntry", () => {
  it("takes what transformers and diffusers would take", () => {
    expect(discover("config.json", "model.safetensors", "pytorch_model.bin", "tf_model.h5")).to.equal("model.safetensors");
    expect(discover("model.safetensors.index.json", "pytorch_model.bin.index.json", ...shards)).to.equal("model.safetensors.index.json");
    expect(discover("pytorch_model.bin", "optimizer.pt", "training_args.bin")).to.equal("pytorch_model.bin");
    expect(discover("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors")).to.equal(
      "diffusion_pytorch_model.safetensors",
    );
    expect(discover("diffusion_pytorch_model.safetensors.index.fp16.json", "config.json")).to.equal(
      "diffusion_pytorch_model.safetensors.index.fp16.json",
    );
    expect(discover("consolidated.safetensors.index.json", ...shards)).to.equal("consolidated.safetensors.index.json");
  });

  it("finds checkpoints of torch.distributed, DeepSpeed and TensorFlow.js", () => {
    expect(discover(".metadata", "__0_0.distcp", "__1_0.distcp")).to.equal(".metadata");
    expect(discover("latest", "zero_to_fp32.py", "global_step500/mp_rank_00_model_states.pt")).to.equal("latest");
    expect(discover("model.json", "group1-shard1of1.bin")).to.equal("model.json");
  });

  it("takes the only checkpoint that lies in the directory itself", () => {
    expect(discover("last.ckpt", "hparams.yaml", "rng_state_0.pth", "optimizer.bin")).to.equal("last.ckpt");
    expect(discover("a.pt", "weights/best.pt")).to.equal("a.pt");
  });

  it("does not search: what lies one folder down is named, and not taken", async () => {
    for (const names of [
      ["README.md", "weights/best.pt"],
      ["x/pytorch_model.bin", "y/notes.txt"],
      ["config.json", "unet/model.safetensors"],
      ["step-1/.metadata", "step-1/__0_0.distcp"],
      ["bin/valgrind.bin"],
    ]) {
      const error = await expectError("RANKCAST_ENTRY_NONE", () => discover(...names));
      const [candidate = ""] = error.details["candidates"] as string[];
      expect(names).to.contain(candidate);
      expect(error.message).to.contain("one folder down").and.to.contain(`"${candidate}"`);
      expect(error.remedy).to.contain("model.safetensors").and.to.contain(".metadata");
    }
  });

  it("a pipeline of diffusers says itself that its models lie in folders", async () => {
    expect(discover("model_index.json", "scheduler/scheduler_config.json", "unet/diffusion_pytorch_model.safetensors")).to.equal(
      "unet/diffusion_pytorch_model.safetensors",
    );
    await expectError("RANKCAST_ENTRY_AMBIGUOUS", () =>
      discover("model_index.json", "text_encoder/model.safetensors", "vae/model.safetensors"),
    );
  });

  it("names the candidates when there are several", async () => {
    const cases = [
      ["epoch_1.pth", "epoch_2.pth"],
      ["a.safetensors.index.json", "b.safetensors.index.json"],
      [".metadata", "model.safetensors"],
    ];
    for (const names of cases) {
      const error = await expectError("RANKCAST_ENTRY_AMBIGUOUS", () => discover(...names, "config.json"));
      expect([...(error.details["candidates"] as string[])].sort()).to.deep.equal([...names].sort());
    }
  });

  it("says when only parts are there, or nothing", async () => {
    expect((await expectError("RANKCAST_ENTRY_PARTS", () => discover("__0_0.distcp"))).class).to.equal("index");
    await expectError("RANKCAST_ENTRY_PARTS", () => discover(...shards));
    const none = await expectError("RANKCAST_ENTRY_NONE", () => discover("README.md"));
    expect(none.remedy).to.contain("Looked for").and.to.contain("*.safetensors");
    await expectError("RANKCAST_ENTRY_NONE", () => discover());
  });
});
