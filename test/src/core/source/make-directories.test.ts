import { spawnSync } from "node:child_process";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { makeDirectories } from "@rankcast/core/internal";
import { expect } from "chai";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const CLI = fileURLToPath(new URL("../../../../packages/cli/bin/rankcast.js", import.meta.url));

describe("makeDirectories", () => {
  const directory = temporaryDirectory();

  it("makes a directory with its parents, and takes one that is there", () => {
    const path = join(directory(), "a", "b", "c");
    makeDirectories(path, 0o700);
    makeDirectories(path);
    expect(statSync(path).mode & 0o777).to.equal(0o700);
  });

  it("refuses a file, and a directory below one", () => {
    writeFileSync(join(directory(), "file"), "");
    expect(() => makeDirectories(join(directory(), "file"))).to.throw("ENOTDIR");
    expect(() => makeDirectories(join(directory(), "file", "x"))).to.throw("ENOTDIR");
  });

  it("ends where the system says ENOENT of a parent that is there", () => {
    if (existsSync("/proc/self")) expect(() => makeDirectories("/proc/x/y")).to.throw("ENOENT");
    const args = ["run", "--nproc-per-node", "1", "--log-dir", "/proc/x", CLI];
    const run = spawnSync(process.execPath, [CLI, ...args], { encoding: "utf8", timeout: 60_000, killSignal: "SIGKILL" });
    expect(run.signal, "hung").to.equal(null);
    expect(run.stderr).to.contain("RANKCAST_LOG_DIR");
  }).timeout(90_000);
});
