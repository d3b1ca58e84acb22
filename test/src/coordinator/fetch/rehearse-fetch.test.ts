import { readdirSync, readlinkSync } from "node:fs";
import { rehearseFetch } from "@rankcast/coordinator/internal";
import { nativeMemory, readEnvironment } from "@rankcast/core/runtime";
import { expect } from "chai";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

describe("rehearseFetch", () => {
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

  it("fetches both ways, and leaves no file, memory or cache entry", async () => {
    const others = openMemoryFiles();
    const ways = await rehearseFetch();
    expect(ways).to.deep.equal([
      { kind: "file", tensors: ["module.a", "module.b", "module.c"] },
      { kind: "memfd", tensors: ["module.a", "module.b", "module.c"] },
    ]);
    expect(openMemoryFiles()).to.deep.equal(others);
    expect(readdirSync(home())).to.deep.equal([]);
  });
});

/** Descriptors and what they are: other tests of this process may hold some. */
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
