/** Ends that are not the command's own: signals, readers that go away, full disks, a folder that was removed. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect } from "chai";
import { commandSandbox, RANKCAST } from "../support/command-sandbox.js";
import { expectFailure } from "../support/expect-failure.js";
import { FIXTURES } from "../support/fixtures.js";
import { originServer } from "../support/origin-server.js";

const CHECKPOINT = `${FIXTURES}accepted/torch-zip/state_dict_t213.pt`;
/** 2500 names: more than a pipe takes at once. */
const LONG = `${FIXTURES}accepted/torch-zip/big_dict.pt`;
const EXIT_CODES = [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const;

/** A preload that makes the import of the command's program wait for the file HOLD_UNTIL. */
const HOOKS = `
  import { existsSync, writeSync } from "node:fs";
  import { setTimeout } from "node:timers/promises";
  export async function load(url, context, next) {
    if (url.endsWith("/cli/dist/flat/main.js")) {
      writeSync(2, "importing main\\n");
      while (!existsSync(process.env.HOLD_UNTIL)) await setTimeout(5);
    }
    return next(url, context);
  }`;
const HOLD_MAIN = `import { register } from "node:module"; register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(HOOKS)}`)});`;

/** A shell that runs `rankcast "$@"` as the first argument says; paths travel as arguments, never in the text. */
const shell = (line: string, ...args: string[]): string[] => [
  "-e",
  'const { status, stdout, stderr } = require("node:child_process").spawnSync("bash", ["-c", process.argv[1], "bash", ...process.argv.slice(2)]);' +
    "process.stdout.write(stdout); process.stderr.write(stderr); process.exitCode = status;",
  line.replaceAll("RANKCAST", `'${process.execPath}' '${RANKCAST}'`),
  ...args,
];

describe("scenario: interrupted commands", function () {
  this.timeout(60_000);
  const sandbox = commandSandbox();
  const origin = originServer();

  for (const verb of ["inspect", "plan", "verify", "download", "convert", "diff"]) {
    it(`${verb}: SIGINT is 130, SIGTERM is 143, with an error and nothing left`, async () => {
      for (const [signal, exitCode] of EXIT_CODES) {
        let asked: () => void = () => undefined;
        const begun = new Promise<void>((resolve) => {
          asked = resolve;
        });
        // A server that never answers: the verb cannot end by itself.
        const url = origin().route(`/${signal}.pt`, () => asked());
        const more = { convert: [join(sandbox().directory, "out.safetensors")], diff: [CHECKPOINT] }[verb] ?? [];
        const command = sandbox().start([RANKCAST, verb, url, ...more, "--json"]);
        await begun;
        command.kill(signal);
        const error = await expectFailure(await command.ended, sandbox(), exitCode);
        expect(error).to.include({ code: "RANKCAST_INTERRUPTED", class: "cancelled" });
      }
    });
  }

  for (const [verb, ...args] of [["inspect", CHECKPOINT], ["load", CHECKPOINT], ["run", "rank.mjs"], ["doctor"]]) {
    it(`${verb}: a signal while the program is still being imported is the same error`, async () => {
      sandbox().write("rank.mjs", "");
      const hold = pathToFileURL(sandbox().write("hold.mjs", HOLD_MAIN)).href;
      for (const [signal, exitCode] of EXIT_CODES) {
        const go = join(sandbox().directory, `go-${signal}`);
        const command = sandbox().start(["--import", hold, RANKCAST, verb ?? "", "--json", ...args], { env: { HOLD_UNTIL: go } });
        await command.waitForStderr("importing main");
        command.kill(signal);
        writeFileSync(go, "");
        const error = await expectFailure(await command.ended, sandbox(), exitCode);
        expect(error).to.deep.include({ code: "RANKCAST_INTERRUPTED", class: "cancelled", details: { signal, exitCode } });
      }
    });
  }

  it("a reader that has seen enough is no failure, and no stack trace", async () => {
    for (const line of [
      'RANKCAST inspect "$1" | head -n 1',
      'RANKCAST inspect "$1" --json | head -c 20',
      'RANKCAST load "$1" | head -c 1',
    ]) {
      const { exitCode, stderr } = await sandbox().start(shell(`set -o pipefail; ${line}`, LONG)).ended;
      expect(exitCode, stderr).to.equal(0);
      expect(stderr).to.not.match(/EPIPE|node:events/);
    }
  });

  it("a job whose output nobody reads any more goes on to its end", async () => {
    const script = sandbox().write(
      "rank.mjs",
      'for (const out of [process.stdout, process.stderr]) for (let i = 0; i < 5e4; i++) out.write("x".repeat(79) + "\\n");',
    );
    for (const line of [
      'RANKCAST run --nproc-per-node 2 --json "$1" 2> >(head -n 1 > /dev/null) > /dev/null',
      'RANKCAST run --nproc-per-node 2 --tee 3 --log-dir logs "$1" 2> /dev/null | head -n 1',
    ]) {
      const { exitCode, stderr } = await sandbox().start(shell(`set -o pipefail; ${line}`, script), { timeoutMs: 30_000 }).ended;
      expect(exitCode, stderr).to.equal(0);
    }
  });

  it("output that cannot be written is a typed error", async function () {
    if (process.platform !== "linux") this.skip();
    const result = await sandbox().start(shell('RANKCAST inspect "$1" --json > /dev/full', CHECKPOINT)).ended;
    expect(await expectFailure(result, sandbox())).to.deep.include({ code: "RANKCAST_OUTPUT", details: { systemError: "ENOSPC" } });
  });

  it("a working directory that was removed is named", async () => {
    const gone = mkdtempSync(join(tmpdir(), "rankcast-gone-"));
    try {
      const line = 'cd "$2" && rmdir "$2" && RANKCAST load "$1" --json';
      const error = await expectFailure(await sandbox().start(shell(line, CHECKPOINT, gone)).ended, sandbox(), 2);
      expect(error.message).to.contain("working directory that was removed");
    } finally {
      rmSync(gone, { recursive: true, force: true });
    }
  });

  it("times and modules that are none are wrong usage", async () => {
    for (const timeout of ["x", "0", "-3", ""]) {
      const error = await expectFailure(await sandbox().run(["load", CHECKPOINT, "--timeout", timeout, "--json"]), sandbox(), 2);
      expect(error.message).to.contain("--timeout");
    }
    for (const verb of ["inspect", "load"]) {
      const error = await expectFailure(await sandbox().run([verb, CHECKPOINT, "--scheme", "/no/such.js", "--json"]), sandbox(), 2);
      expect(error.message).to.contain("no/such.js");
    }
    const script = sandbox().write("rank.mjs", "");
    await expectFailure(await sandbox().run(["run", "--json", "--metrics-port", "x", script]), sandbox(), 2);
  });

  it("convert refuses what holds no state dict instead of writing an empty file", async () => {
    const output = join(sandbox().directory, "out.safetensors");
    const list = `${FIXTURES}accepted/npz/npy_c_order.npy`;
    const error = await expectFailure(await sandbox().run(["convert", list, output, "--json"]), sandbox());
    expect(error.code).to.equal("RANKCAST_NO_STATE_DICT");
    expect(
      sandbox()
        .filesBelow(".")
        .filter((name) => name.includes("safetensors")),
    ).to.deep.equal([]);
  });
});
