import { nearestNames } from "@rankcast/core/internal";
import { expect } from "chai";

describe("nearestNames", () => {
  it("finds typos, swaps and beginnings, closest first", () => {
    const names = ["resnet18.default", "resnet50.default", "vgg16.default", "toString"];
    expect(nearestNames("resnte50.default", names)[0]).to.equal("resnet50.default");
    expect(nearestNames("resnet50", names)[0]).to.equal("resnet50.default");
    expect(nearestNames("zzz", names)).to.deep.equal([]);
    expect(nearestNames("x".repeat(100_000), names)).to.deep.equal([]);
  });
});
