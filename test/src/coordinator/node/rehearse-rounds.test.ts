import { readdirSync, readlinkSync } from "node:fs";
import { rehearseRounds } from "@rankcast/coordinator/internal";
import { nativeMemory, readEnvironment } from "@rankcast/core/runtime";
import { expect } from "chai";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

describe("rehearseRounds", () => {
  const home = temporaryDirectory();
  const before = process.env["RANKCAST_HOME"];
  beforeEach(function () {
    if (process.platform !== "linux" || nativeMemory(readEnvironment().noMmap) === null) this.skip();
    process.env["RANKCAST_HOME"] = home();
  });
  afterEach(() => {
    if (before === undefined) delete process.env["RANKCAST_HOME"];
    else process.env["RANKCAST_HOME"] = before;
  });

  it("loads both ways, and leaves no file, memory or cache entry", async () => {
    const others = new Set(openMemoryFiles());
    const reports = await rehearseRounds();
    expect(
      reports.map(({ generation, format, bytes, segments, ranks }) => [generation, format, bytes > 256, segments[0]?.kind, ranks.length]),
    ).to.deep.equal([
      [0, "torch-zip", true, "memfd", 4],
      [1, "torch-zip", true, "file", 4],
      [2, "torch-zip", true, "file", 4],
    ]);
    expect(openMemoryFiles().filter((file) => !others.has(file))).to.deep.equal([]);
    expect(readdirSync(home())).to.deep.equal([]);
  });
});

/** Descriptors and what they are: other tests of this process may hold some, and may close them meanwhile. */
function openMemoryFiles(): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return target.includes("rankcast") && target.startsWith("/memfd") ? [`${fd} ${target}`] : [];
    } catch {
      return [];
    }
  });
}
