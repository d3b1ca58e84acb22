import { readdirSync, readlinkSync } from "node:fs";
import { nativeMemory, type RankIdentity } from "@rankcast/core/runtime";
import { rehearseRound } from "@rankcast/worker/internal";
import { expect } from "chai";

const IDENTITY: RankIdentity = { rank: 1, localRank: 1, nodeRank: 0, worldSize: 4, localWorldSize: 4, nodeCount: 1 };
const HELLO = { type: "hello", protocol: 1, jobId: "job", epoch: 0, ...IDENTITY, incarnation: "", pid: process.pid, host: "host" } as const;

describe("rehearseRound", () => {
  for (const noMmap of [false, true]) {
    it(`loads through a whole round, and leaves no memory open${noMmap ? ", where nothing is mapped" : ""}`, async function () {
      if (!noMmap && nativeMemory(false) === null) this.skip();
      const others = openMemory();
      expect(await rehearseRound(HELLO, IDENTITY, noMmap)).to.equal(3 * 16);
      expect(openMemory()).to.deep.equal(others);
    });
  }
});

/** Descriptors of segments: other tests of this process may hold some. */
function openMemory(): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return target.includes("rankcast") ? [`${fd} ${target}`] : [];
    } catch {
      return [];
    }
  });
}
