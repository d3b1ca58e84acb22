/** Launchers that are signalled and killed. */
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { createFolder, goneWithin, isAlive, pidsOfStaying, startLauncher } from "./launch-support.ts";

describe("launcher process", function () {
  this.timeout(30_000);
  const folder = createFolder();
  after(() => folder.remove());

  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const) {
    it(`passes ${signal} on and ends with ${code}`, async () => {
      const launcher = startLauncher(["stay", "polite"], folder.path);
      const pids = await pidsOfStaying(launcher, 2);
      launcher.child.kill(signal);
      expect(await launcher.exited).to.deep.equal({ code, signal: null });
      expect(pids.filter(isAlive)).to.deep.equal([]);
      const told = await launcher.event((event) => event.type === "error");
      expect(told["error"]).to.deep.include({ code: "RANKCAST_INTERRUPTED", class: "cancelled" });
    });
  }

  it("does not wait after a second signal", async () => {
    const launcher = startLauncher(["stubborn"], folder.path);
    const pids = await pidsOfStaying(launcher, 1);
    launcher.child.kill("SIGTERM");
    await launcher.event((event) => event.type === "output" && /ignores SIGTERM/.test(String(event["line"])));
    launcher.child.kill("SIGTERM");
    expect(await launcher.exited).to.deep.equal({ code: 143, signal: null });
    expect(pids.filter(isAlive)).to.deep.equal([]);
  });

  it("ends with 1 after a failure and 2 after wrong usage", async () => {
    expect(await startLauncher(["exit:9"], folder.path).exited).to.deep.equal({ code: 1, signal: null });
    expect(await startLauncher(["exit:0"], folder.path, { nprocPerNode: "many" }).exited).to.deep.equal({ code: 2, signal: null });
  });

  it("leaves no orphan when it is killed: idle, busy, stubborn ranks and their children", async () => {
    const file = join(folder.path, "grandchild");
    const temporary = join(folder.path, "temporary");
    mkdirSync(temporary);
    const launcher = startLauncher(["stay", "busy", "stubborn", `parent:${file}`], temporary);
    const pids = await pidsOfStaying(launcher, 4);
    pids.push(Number(readFileSync(file, "utf8")));
    expect(pids.filter(isAlive)).to.have.length(5);
    launcher.child.kill("SIGKILL");
    await goneWithin(pids, 15_000);
    // The warden removes the temporary files last.
    await waitUntil(() => readdirSync(temporary).length === 0);
  });

  it("leaves no orphan that is no Node program", async () => {
    const more = { script: "/bin/sh", noNode: true, args: ["-c", "trap '' TERM; echo rank 0 stays; while :; do sleep 0.05; done"] };
    const launcher = startLauncher(["x"], folder.path, more);
    const pids = await pidsOfStaying(launcher, 1);
    launcher.child.kill("SIGKILL");
    await goneWithin(pids, 15_000);
  });

  it("leaves a rank's guard to end it where there is no warden", async () => {
    const launcher = startLauncher(["stay"], folder.path);
    const [pid = 0] = await pidsOfStaying(launcher, 1);
    const warden = childrenOf(launcher.child.pid ?? 0).find((each) => each !== pid) ?? 0;
    process.kill(warden, "SIGKILL");
    await goneWithin([warden], 15_000);
    launcher.child.kill("SIGKILL");
    await goneWithin([pid], 15_000);
  });
});

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").map(Number);
}

async function waitUntil(condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition(); tries += 1) {
    if (tries > 1500) throw new Error("it did not happen");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
