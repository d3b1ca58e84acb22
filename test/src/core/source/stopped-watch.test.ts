/** Whether another process stands still, and for how long. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { StoppedWatch, uniqueTag } from "@rankcast/core/runtime";
import { expect } from "chai";

const RUNTIME = import.meta.resolve("@rankcast/core/runtime");
const SAY_TAG = `import { uniqueTag } from ${JSON.stringify(RUNTIME)}; process.stdin.resume(); process.stdout.write(uniqueTag());`;

describe("StoppedWatch", () => {
  it("adds up the time that a process is seen to stand still, until it runs", () => {
    let stopped = false;
    const watch = new StoppedWatch("", 1000, () => stopped);
    expect(watch.look(5000)).to.equal(0);
    stopped = true;
    expect([6000, 7000, 7500].map((nowMs) => watch.look(nowMs))).to.deep.equal([1000, 2000, 2500]);
    stopped = false;
    expect(watch.look(8000)).to.equal(0);
    stopped = true;
    expect(watch.look(9000)).to.equal(1000);
  });

  it("does not count time in which the looking process stood still itself", () => {
    const watch = new StoppedWatch("", 1000, () => true);
    watch.look(1000);
    expect(watch.look(60_000)).to.equal(2000);
  });

  it("does not ask the kernel about a process that has been heard since the last look", () => {
    let asked = 0;
    const watch = new StoppedWatch("", 1000, () => {
      asked += 1;
      return true;
    });
    expect([1000, 2000].map((nowMs) => watch.look(nowMs))).to.deep.equal([1000, 2000]);
    watch.heard();
    expect([3000, 4000].map((nowMs) => watch.look(nowMs))).to.deep.equal([0, 1000]);
    expect(asked).to.equal(3);
  });

  it("sees nothing in names that tell no process, or one of another machine, boot or start", () => {
    for (const tag of ["", "0", "incarnation", uniqueTag(), uniqueTag().replace(/^(\d+)-\d+/, "$1-1")]) {
      expect(new StoppedWatch(tag, 1000).look(1000), tag).to.equal(0);
    }
  });

  it("sees what the kernel says", async function () {
    if (!existsSync("/proc/self/stat")) {
      console.log("      no /proc on this system");
      this.skip();
    }
    this.timeout(30_000);
    const child = spawn(process.execPath, ["--input-type=module", "-e", SAY_TAG], { stdio: ["pipe", "pipe", "inherit"] });
    try {
      const [tag] = (await once(child.stdout, "data")) as [Buffer];
      const stopsTo = async (expected: boolean): Promise<void> => {
        // A signal takes its effect when the kernel gets to it.
        while (new StoppedWatch(String(tag), 1).look(1) > 0 !== expected) await new Promise((resolve) => setImmediate(resolve));
      };
      await stopsTo(false);
      child.kill("SIGSTOP");
      await stopsTo(true);
      child.kill("SIGCONT");
      await stopsTo(false);
    } finally {
      child.kill("SIGKILL");
      await once(child, "close");
    }
    expect(child.signalCode).to.equal("SIGKILL");
  });
});
