import { join } from "node:path";
import { loadCheckpoint, loadModelCheckpoint, type Module, moduleFromStateDict } from "@rankcast/core";
import { TreeDict } from "@rankcast/core/internal";
import { expect } from "chai";
import { REPOSITORY } from "../../support/source-files.js";

const CHECKPOINT = join(REPOSITORY, "examples", "assets", "ddp-convnet.pt");

describe("choosing the state dict", () => {
  const model = async (): Promise<Module> => {
    const { stateDict } = await loadCheckpoint(CHECKPOINT);
    return moduleFromStateDict(stateDict, { meta: true });
  };

  it("B4: the report says what was chosen", async () => {
    const report = await loadModelCheckpoint(await model(), CHECKPOINT, { revKeys: [], strict: true });
    expect(report.selected).to.equal("state_dict");
    expect(JSON.parse(JSON.stringify(report))).to.have.property("selected", "state_dict");
  });

  it("B4: a function may choose, looking at the decoded checkpoint", async () => {
    const seen: unknown[] = [];
    const choose = (root: unknown): string => {
      seen.push(root);
      return "state_dict";
    };
    const report = await loadModelCheckpoint(await model(), CHECKPOINT, { revKeys: [], strict: true, select: choose });
    expect(report.selected).to.equal("state_dict");
    expect(seen).to.have.length(1);
    expect(seen[0]).to.be.instanceOf(TreeDict);
    const { stateDict } = await loadCheckpoint(CHECKPOINT, { select: choose });
    expect(stateDict.size).to.equal(14);
  });

  it("a path that is not there is an error that names it", async () => {
    const caught: unknown = await loadCheckpoint(CHECKPOINT, { select: "ema.state_dict" }).catch((error: unknown) => error);
    expect(caught).to.have.property("code", "RANKCAST_SELECT_PATH");
  });
});
