/** A mapping lives as long as anything that shows its bytes, and no longer. */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { nativeMemory } from "@rankcast/core/runtime";
import { expect } from "chai";
import { temporaryDirectory } from "../../support/temporary-directory.js";

describe("memory: unmapping", function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();

  it("500 maps are dropped and unmapped; views that are still held show their bytes", function () {
    if (process.platform !== "linux" || nativeMemory(false) === null) this.skip();
    const path = join(directory(), "file");
    const bytes = new Uint8Array(2 ** 20);
    bytes[bytes.length - 1] = 7;
    writeFileSync(path, bytes);
    const program = fileURLToPath(new URL("programs/drop-views.js", import.meta.url));
    const { status, stdout, stderr } = spawnSync(process.execPath, ["--expose-gc", program, path], { encoding: "utf8", timeout: 50_000 });
    expect(status, stderr).to.equal(0);
    const { maps, kept, mappings, wrong } = JSON.parse(stdout) as { maps: number; kept: number; mappings: number; wrong: string[] };
    expect(wrong).to.deep.equal([]);
    expect([maps, kept]).to.deep.equal([500, 10]);
    // Of what was copied no mapping stays. The collector may keep one it has just seen; a mapping that only goes with the process would leave 500.
    expect(mappings).to.be.within(kept - 2, kept + 3);
  });
});
