/** When the engine hears of what a load has mapped. */
import { spawnSync } from "node:child_process";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { nativeMemory } from "@rankcast/core/runtime";
import { expect } from "chai";
import { temporaryDirectory } from "../../support/temporary-directory.js";

const GIB = 2 ** 30;

describe("ReplicaHost", function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();

  it("a load behind another one is not counted, and no garbage collected, before it is over", function () {
    if (process.platform !== "linux" || nativeMemory(false) === null) this.skip();
    const path = join(directory(), "file");
    writeFileSync(path, new Uint8Array(64).fill(7));
    truncateSync(path, GIB);
    const program = fileURLToPath(new URL("programs/load-behind-load.js", import.meta.url));
    const { status, stdout, stderr } = spawnSync(process.execPath, ["--trace-gc", program, path], { encoding: "utf8" });
    expect(status, stderr).to.equal(0);
    const [before = "", after = ""] = stdout.split(/^prepared \d+$/m);
    expect(before).not.to.match(/Mark-Compact/);
    expect(after).to.match(/Mark-Compact/);
    expect(after).to.match(/^over \d+$/m);
  });
});
