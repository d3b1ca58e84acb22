/** What `npm run fuzz` says to whoever waits for it. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const MAIN = fileURLToPath(new URL("./fuzz-main.js", import.meta.url));

describe("the fuzz runner", () => {
  const run = (...args: string[]): { status: number | null; stdout: string } =>
    spawnSync(process.execPath, [MAIN, "--reader", "json", "--seed", "3", "--threads", "1", ...args], { encoding: "utf8" });

  it("ends well when all inputs were examined, and badly when the time was over first", () => {
    const whole = run("--inputs", "50", "--seconds", "120");
    expect(whole.stdout).to.match(/^ {2}2 passing$/m);
    expect(whole.status).to.equal(0);
    const cut = run("--inputs", "1000000000", "--seconds", "1");
    expect(cut.stdout).to.match(/stopped before all 1000000000 inputs: \d+ were not examined\n {2}1 passing\n {2}1 failing$/m);
    expect(cut.status).to.equal(1);
  }).timeout(180_000);
});
