import { expectedDigest } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";

describe("expectedDigest", () => {
  const of = (url: string) => expectedDigest(new URL(url), {});
  const X = "https://x.example/";

  it("reads digests out of names as published models have them", () => {
    const rows: [string, string | null, boolean][] = [
      ["resnet50-0676ba61.pth", "0676ba61", true],
      ["mnasnet0.5_top1_67.823-3ffadce67e.pth", "3ffadce67e", true],
      ["faster_rcnn_r50_fpn_1x_coco_20200130-047c8118.pth", "047c8118", true],
      ["model_0123456789abcdef.safetensors", "0123456789abcdef", true],
      ["cc_3dt_frcnn_r50_fpn_12e_nusc_d98509.pt", "d98509", false],
      ["model-1.5-final.pth", null, false],
      ["m-.pth", null, false],
      ["model-0676BA61.pth", null, false],
      ["checkpoint_20230615.pth", "20230615", false],
      ["checkpoint-20230615.pth", "20230615", false],
      ["ckpt_00010000.pt", "00010000", false],
      ["ckpt-12345678.pt", "12345678", true],
      ["a-0676ba61.exe", null, false],
      ["a-0676ba6.pth?x=-deadbeef.pth", "0676ba6", false],
      ["vgg_state_dict.pth", null, false],
    ];
    for (const [name, prefix, enforced] of rows) {
      const expected = of(X + name);
      expect(expected?.prefix ?? null, name).to.equal(prefix);
      if (prefix !== null) expect(expected?.enforced, name).to.equal(enforced);
    }
    expect(of("https://dl.cv.ethz.ch/vis4d/x_d98509.pt")?.enforced).to.equal(true);
    expect(of("https://download.pytorch.org/models/quantized/resnet18_fbgemm_16fa66dd.pth")?.enforced).to.equal(false);
  });

  it("lets the caller win, then the table", async () => {
    const url = new URL(`${X}a-0676ba61.pth`);
    const sha256 = "AB".repeat(32);
    expect(expectedDigest(url, { sha256 })).to.deep.equal({ prefix: "ab".repeat(32), enforced: true, from: "option" });
    expect(expectedDigest(url, { tablePrefix: { prefix: "12", enforced: false } })).to.include({ prefix: "12", from: "table" });
    expect(expectedDigest(url, { ignoreName: true })).to.equal(null);
    await expectError("RANKCAST_USAGE", () => expectedDigest(url, { sha256: "abc" }));
  });
});
