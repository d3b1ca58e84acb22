/** Everything the README shows runs as it stands there. */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { loadCheckpoint, loadModelCheckpoint, type Module } from "@rankcast/core";
import { expect } from "chai";
import { type CommandSandbox, commandSandbox, RANKCAST } from "../support/command-sandbox.js";
import { REPOSITORY } from "../support/source-files.js";

/** Below the tests' own package, so that the snippets' imports resolve as in a program that has installed rankcast. */
const SNIPPETS = fileURLToPath(new URL("snippets-", import.meta.url));
const readme = readFileSync(join(REPOSITORY, "README.md"), "utf8");

interface Block {
  readonly language: string;
  readonly text: string;
}

const blocks: readonly Block[] = [...readme.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, language = "", text = ""]) => ({
  language,
  text,
}));
/** File name to content: blocks whose first line is `// name.js`. */
const files = new Map(
  blocks.flatMap(({ text }) => {
    const name = /^\/\/ (\S+\.js)\n/.exec(text)?.[1];
    return name === undefined ? [] : [[name, text] as const];
  }),
);
const commands = blocks
  .filter(({ language }) => language === "sh")
  .flatMap(({ text }) =>
    text
      .trim()
      .split("\n")
      .map((line) => line.split("#")[0]?.trim() ?? ""),
  );

describe("docs: README", function () {
  this.timeout(60_000);
  const sandbox = commandSandbox();
  let directory: string;

  before(() => {
    directory = mkdtempSync(SNIPPETS);
    for (const [name, text] of files) writeFileSync(join(directory, name), text);
    copyFileSync(join(REPOSITORY, "examples", "assets", "ddp-convnet.pt"), join(directory, "ddp-convnet.pt"));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  it("shows at least three programs and commands of each kind", () => {
    expect([...files.keys()]).to.include.members(["read.js", "replica.js", "train.js"]);
    expect(commands.filter((line) => line.startsWith("npx rankcast "))).to.have.length.of.at.least(3);
  });

  for (const line of commands) {
    if (line.startsWith("npm ")) {
      it(`\`${line}\` is a script of the repository`, () => {
        const { scripts } = JSON.parse(readFileSync(join(REPOSITORY, "package.json"), "utf8")) as { scripts: Record<string, string> };
        expect(scripts).to.have.property(line.replace(/^npm (run )?/, ""));
      });
    } else {
      it(`\`${line}\` succeeds`, async () => {
        const output = await run(sandbox(), line, directory);
        expect(output).to.not.equal("");
      });
    }
  }

  it("read.js prints what is in the file", async () => {
    const output = await run(sandbox(), "node read.js", directory);
    expect(output).to.contain("module.head.weight float32 [ 64, 512 ]");
    expect(output).to.match(/torch-zip 14\n\[ 8, 512 \]/);
  });

  it("train.js loads, answers and updates", async () => {
    const output = await run(sandbox(), "node train.js", directory);
    expect(output).to.match(/rank 0 of 1: generation 1, answers -?\d/);
  });

  it("tfjs-replica.js is a replica that takes the checkpoint's weights", async () => {
    // No hints about other backends in the output of tests.
    (await import("@tensorflow/tfjs-core")).enableProdMode();
    const url = pathToFileURL(join(directory, "tfjs-replica.js")).href;
    const { createReplica, act } = (await import(url)) as { createReplica(): Promise<Module>; act(replica: Module, x: number[]): number[] };
    const replica = await createReplica();
    await loadModelCheckpoint(replica, join(directory, "ddp-convnet.pt"));
    const { stateDict } = await loadCheckpoint(join(directory, "ddp-convnet.pt"));
    expect(act(replica, new Array(512).fill(0))).to.deep.equal([...(stateDict.get("module.head.bias")?.toFloat32Array() ?? [])]);
  });

  it("links lead somewhere", () => {
    for (const paper of ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]) {
      const text = readFileSync(join(REPOSITORY, paper), "utf8");
      const targets = [...text.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, target = ""]) => target);
      for (const target of targets) expect(existsSync(join(REPOSITORY, target)), `${paper} -> ${target}`).to.equal(true);
    }
  });
});

/** Runs one command line of the README in `directory`; returns stdout. */
async function run(sandbox: CommandSandbox, line: string, directory: string): Promise<string> {
  const [program = "", ...words] = line.split(/\s+/);
  const args = program === "npx" ? [RANKCAST, ...words.slice(1)] : words;
  mkdirSync(sandbox.cacheHome, { recursive: true });
  const { exitCode, stdout, stderr } = await sandbox.start(args, { cwd: directory }).ended;
  expect(exitCode, `${line}: ${stderr}`).to.equal(0);
  return stdout;
}
