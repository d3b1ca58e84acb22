/** Every small damage to a distributed checkpoint that torch wrote. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CheckpointError, compileLimits } from "@rankcast/core";
import { readCheckpoint, resolved } from "@rankcast/core/internal";
import { expect } from "chai";
import { FIXTURES } from "../../support/fixtures.js";
import { digestTree, directoryFiles, memorySiblings } from "./sources.ts";

describe("damaged distributed checkpoints", () => {
  const directory = join(FIXTURES, "accepted/dcp/two_rank");
  const files = new Map([...directoryFiles(directory), [".metadata", readFileSync(join(directory, ".metadata"))]]);

  async function attempt(damaged: ReadonlyMap<string, Uint8Array>): Promise<string | null> {
    try {
      const tree = await readCheckpoint(resolved("dir", null, memorySiblings(damaged)), { limits: compileLimits() });
      return JSON.stringify(await digestTree(tree));
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
      return null;
    }
  }

  it("gives equal tensors or a typed error for every changed byte and every cut of the data files", async () => {
    const intact = await attempt(files);
    expect(intact).not.to.equal(null);
    const file = "__0_0.distcp";
    const bytes = files.get(file) as Uint8Array;
    for (let at = 0; at < bytes.length; at += 1) {
      expect(await attempt(new Map([...files, [file, bytes.subarray(0, at)]])), `cut at ${at}`).to.equal(null);
      for (const flip of [1, 0x80, 0xff]) {
        const found = await attempt(new Map([...files, [file, Buffer.from(bytes).fill((bytes[at] ?? 0) ^ flip, at, at + 1)]]));
        if (found !== null) expect(found, `byte ${at} xor ${flip}`).to.equal(intact);
      }
    }
  }).timeout(60_000);

  it("gives a result or a typed error for every changed byte and every cut of the metadata", async () => {
    const bytes = files.get(".metadata") as Uint8Array;
    for (let at = 0; at < bytes.length; at += 1) {
      expect(await attempt(new Map([...files, [".metadata", bytes.subarray(0, at)]])), `cut at ${at}`).to.equal(null);
      for (const flip of [1, 2, 0x40, 0x80, 0xff])
        await attempt(new Map([...files, [".metadata", Buffer.from(bytes).fill((bytes[at] ?? 0) ^ flip, at, at + 1)]]));
    }
  }).timeout(60_000);

  it("may say more than its own size allows, because the data files count, too", async () => {
    const tight = compileLimits({ pickleValueRatio: 20, pickleValueBytesFloor: 1, treeHeapRatio: 0.001, treeHeapBytesFloor: 1 });
    const tree = await readCheckpoint(resolved("dir", null, memorySiblings(files)), { limits: tight });
    expect(tree.format).to.equal("dcp");
  });
});
