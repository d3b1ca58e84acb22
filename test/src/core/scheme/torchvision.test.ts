import { readFile } from "node:fs/promises";
import { getTorchvisionModels, resolveTorchvision } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";

const FIXTURE = new URL("../../../fixtures/tables/torchvision_urls.json", import.meta.url);

describe("torchvision names", () => {
  it("are torchvision's own 287, with its URLs", async () => {
    const truth = JSON.parse(await readFile(FIXTURE, "utf8")) as Record<string, string>;
    expect(getTorchvisionModels()).to.deep.equal(truth);
    expect(Object.keys(truth)).to.have.length(287);
    for (const [key, url] of Object.entries(truth)) expect(resolveTorchvision(key).url, key).to.equal(url);
  });

  it("are understood as people and older code write them", () => {
    const url = (name: string): string => resolveTorchvision(name).url.replace("https://download.pytorch.org/models/", "");
    expect(url("ResNet50_Weights.IMAGENET1K_V2")).to.equal("resnet50-11ad3fa6.pth");
    expect(url("resnet50.default")).to.equal("resnet50-11ad3fa6.pth");
    expect(url("resnet50")).to.equal("resnet50-0676ba61.pth");
    expect(url("quantized_resnet50.default")).to.equal(url("resnet50_quantizedweights.imagenet1k_fbgemm_v2"));
    expect(url("ResNet50_QuantizedWeights.IMAGENET1K_FBGEMM_V1")).to.contain("quantized/resnet50_fbgemm");
    expect(url("quantized_mobilenet_v3_large.default")).to.contain("quantized/mobilenet_v3_large_qnnpack");
    expect(url("inception_v3_google")).to.equal("inception_v3_google-0cc3c7bd.pth");
    expect(url("shufflenetv2_x0.5")).to.equal("shufflenetv2_x0.5-f707e7126e.pth");
    expect(url("efficientnet_b0")).to.equal("efficientnet_b0_rwightman-7f5810bc.pth");
    expect(resolveTorchvision("resnet50").notice).to.contain("resnet50.default may be newer");
    expect(resolveTorchvision("resnet50.default")).to.not.have.property("notice");
  });

  it("carry the digest of the file's name, enforced except for the four with an underscore", () => {
    expect(resolveTorchvision("mnasnet0_5.default")).to.include({ sha256Prefix: "3ffadce67e", enforced: true });
    const all = Object.keys(getTorchvisionModels()).map((key) => resolveTorchvision(key));
    for (const each of all) expect(each.sha256Prefix, each.key).to.match(/^[0-9a-f]{8,10}$/);
    expect(new Set(all.filter((each) => !each.enforced).map((each) => each.sha256Prefix))).to.deep.equal(
      new Set(["37f702c5", "16fa66dd", "bf931d71", "09835ccf"]),
    );
  });

  it("B14: that do not exist name their neighbours", async () => {
    const error = await expectError("RANKCAST_MODEL_UNKNOWN", () => resolveTorchvision("resnet5.defalt"));
    expect(error.class).to.equal("not-found");
    expect(error.message).to.match(/unknown model "resnet5\.defalt"; nearest: resnet\d+\.default/);
    for (const [name, nearest] of [
      ["resnet81", "resnet18.default"],
      ["ressnet50", "resnet50.default"],
      ["VGG17", "vgg16.default"],
      ["ResNet50_Weights.V3", "resnet50.imagenet1k_v2"],
    ] as const) {
      const typo = await expectError("RANKCAST_MODEL_UNKNOWN", () => resolveTorchvision(name));
      expect(typo.details["nearest"], name).to.include(nearest);
    }
    for (const name of ["nope", "resnet50.toString", "__proto__", "constructor.default", "resnet50.", ".default", ""]) {
      await expectError("RANKCAST_MODEL_UNKNOWN", () => resolveTorchvision(name));
    }
  });
});
