/** The migration page names only what exists. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import * as core from "@rankcast/core";
import { LoadReport, Module, StateDict, saveTorch, Tensor } from "@rankcast/core";
import { expect } from "chai";

const PAGE = readFileSync(new URL("../../../../docs/from-vis4d.md", import.meta.url), "utf8");

/** In a process of its own, so that what it registers is gone with it. */
async function runExample(folder: string, name: string, code: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, code);
  return (await promisify(execFile)(process.execPath, [path])).stdout;
}

describe("docs/from-vis4d.md", () => {
  it("calls functions and classes that are exported, and methods that exist", () => {
    const right = PAGE.split("\n")
      .filter((line) => line.startsWith("| `"))
      .map((line) => line.split(" | ").slice(1).join(" | "))
      .join("\n");
    const names = [...right.matchAll(/`(?:await )?([A-Za-z]+)(?:\.[a-z][A-Za-z]*)?\(/g)].map(([, name]) => name as string);
    const methods = [...right.matchAll(/module\.([A-Za-z]+)\(/g)].map(([, name]) => name as string);
    expect(names).to.include.members(["loadModelCheckpoint", "loadStateDict", "registerStateMigration", "Parameter"]);
    const known = new Set([...Object.keys(core), "group", "module", "loadFromStateDict", "super"]);
    expect(names.filter((name) => !known.has(name))).to.deep.equal([]);
    expect(methods.filter((name) => !(name in Module.prototype))).to.deep.equal([]);
    for (const name of ["ModuleWrapper", "registerDevice"]) expect(core).to.have.property(name);
    for (const name of ["toTorchMessage", "toVis4dMessage"]) expect(LoadReport.prototype).to.have.property(name);
  });

  it("the examples run and print what their comments say", async () => {
    const [first = "", second = ""] = [...PAGE.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) =>
      (code as string).replace("override ", ""),
    );
    const folder = join(dirname(fileURLToPath(import.meta.url)), "examples");
    await mkdir(folder, { recursive: true });
    const fc = new StateDict([
      ["fc.weight", Tensor.from(new Float32Array(512_000), [1000, 512])],
      ["fc.bias", Tensor.from(new Float32Array(1000), [1000])],
    ]);
    await saveTorch(join(folder, "fc.pt"), fc);
    // The one thing that is not here: the server of torchvision's weights.
    const local = first.replace("torchvision://resnet18.imagenet1k_v1", join(folder, "fc.pt"));
    expect(local).to.not.equal(first);
    const printed = await runExample(folder, "first.mjs", `${local}\nconsole.log(report.toTorchMessage() + report.toVis4dMessage());`);
    expect(printed).to.match(/2\/2/).and.to.include("<All keys matched successfully>");
    const comments = [...second.matchAll(/console\.log\(.*\/\/ (.*)$/gm)].map(([, text]) => text);
    expect(comments).to.have.length(3);
    expect((await runExample(folder, "second.mjs", second)).trimEnd().split("\n")).to.deep.equal(comments);
    await rm(folder, { recursive: true });
  });

  it("lists each ID once", () => {
    const ids = [...PAGE.matchAll(/^\| ([A-I]\d+(?:, [A-I]\d+)*) \|/gm)].flatMap(([, found]) => (found as string).split(", "));
    expect(ids).to.have.length.greaterThan(80);
    expect(new Set(ids)).to.have.property("size", ids.length);
  });
});
