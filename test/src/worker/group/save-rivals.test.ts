/** Groups that save the same step into the same folder at the same time: a job that was started twice, or again before it was quite dead. */
import { mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadCheckpoint, StateDict, saveSafetensors, Tensor } from "@rankcast/core";
import { joinGroup, type RankGroup } from "@rankcast/worker";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";

const GROUPS = 3;
const ROUNDS = 5;
const ELEMENTS = 1000;

describe("saving", function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();
  const groups: RankGroup[] = [];

  beforeEach(async () => {
    for (let value = 1; value <= GROUPS; value += 1) {
      const group = await joinGroup({ environment: {} });
      groups.push(group);
      const path = join(directory(), `weights-${value}.safetensors`);
      await saveSafetensors(path, new StateDict(["left", "right"].map((name) => [name, filled(value)])));
      await group.loadCheckpoint(path);
    }
  });

  afterEach(async () => {
    for (const group of groups.splice(0)) await group.close();
  });

  for (const shards of ["one", "ranks"] as const) {
    it(`by several groups at once (${shards}): each is whole, and the last one stays`, async () => {
      const folder = join(directory(), "run");
      for (let step = 1; step <= ROUNDS; step += 1) {
        const paths = await Promise.all(groups.map((group) => group.save(folder, { step, shards })));
        expect(new Set(paths).size).to.equal(1);
        const { stateDict } = await loadCheckpoint(paths[0] ?? "");
        const [left, right] = ["left", "right"].map((name) => new Set(stateDict.get(name)?.toFloat32Array()));
        expect(left?.size).to.equal(1);
        expect(right).to.deep.equal(left);
      }
      expect(readdirSync(folder).filter((name) => name.startsWith("."))).to.deep.equal([]);
    });
  }

  it("removes what a run that died in the same step has left, not what somebody still writes", async () => {
    const folder = join(directory(), "run");
    const leave = (name: string, changed: Date): void => {
      mkdirSync(join(folder, name), { recursive: true });
      writeFileSync(join(folder, name, "model-00001-of-00002.safetensors"), "half of it");
      utimesSync(join(folder, name, "model-00001-of-00002.safetensors"), changed, changed);
      utimesSync(join(folder, name), changed, changed);
    };
    leave(".step-000004.aa.partial", new Date(0));
    leave(".step-000004.bb.partial", new Date());
    await groups[0]?.save(folder, { step: 4, shards: "ranks" });
    expect(readdirSync(folder).sort()).to.deep.equal([".step-000004.bb.partial", "step-000004"]);
  });

  it("where nothing can be written says so", async () => {
    const file = join(directory(), "weights-1.safetensors");
    for (const shards of ["one", "ranks"] as const) {
      const error = await expectError("RANKCAST_SAVE_REFUSED", groups[0]?.save(file, { shards }) ?? Promise.resolve());
      expect(error.details["rootCause"]).to.include({ rank: 0, code: "RANKCAST_SAVE_REFUSED" });
    }
  });
});

function filled(value: number): Tensor {
  return Tensor.from(new Float32Array(ELEMENTS).fill(value), [ELEMENTS]);
}
