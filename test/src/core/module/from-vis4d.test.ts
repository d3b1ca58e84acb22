/** The migration page names only what exists. */
import { readFileSync } from "node:fs";
import * as core from "@rankcast/core";
import { LoadReport, Module } from "@rankcast/core";
import { expect } from "chai";

const PAGE = readFileSync(new URL("../../../../docs/from-vis4d.md", import.meta.url), "utf8");

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

  it("lists each ID once", () => {
    const ids = [...PAGE.matchAll(/^\| ([A-I]\d+(?:, [A-I]\d+)*) \|/gm)].flatMap(([, found]) => (found as string).split(", "));
    expect(ids).to.have.length.greaterThan(50);
    expect(new Set(ids)).to.have.property("size", ids.length);
  });
});
