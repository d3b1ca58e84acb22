/** What programs import before they do anything: it is waited for at every start, and one line too many costs a tenth of a second. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { expect } from "chai";
import { parseSync } from "oxc-parser";
import { REPOSITORY } from "../support/source-files.js";

/** Built files that importing `entries` of the command evaluates: what is imported statically, followed through the doors of our packages. */
function evaluated(entries: readonly string[]): Map<string, string> {
  const found = new Map<string, string>();
  const open = entries.map((entry) => join(REPOSITORY, "packages/cli/dist", `${entry}.js`));
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    const name = relative(REPOSITORY, path);
    if (found.has(name)) continue;
    const text = readFileSync(path, "utf8");
    found.set(name, text + scriptOf(path, text));
    const { module } = parseSync(path, text);
    const specifiers = [
      ...module.staticImports.map((each) => each.moduleRequest.value),
      ...module.staticExports.flatMap((each) => each.entries.flatMap((entry) => (entry.moduleRequest ? [entry.moduleRequest.value] : []))),
    ];
    for (const specifier of specifiers) {
      if (specifier.startsWith(".")) open.push(join(dirname(path), specifier));
      else if (specifier.startsWith("@rankcast/")) open.push(createRequire(path).resolve(specifier));
    }
  }
  return found;
}

/** The script that a module runs, where its code is kept compiled. */
function scriptOf(path: string, text: string): string {
  const [, name] = /\bcompiled\$?\("([\w-]+)"\)/.exec(text) ?? [];
  return name === undefined ? "" : readFileSync(join(dirname(path), `${name}.cjs`), "utf8");
}

/** Packages of ours, and `http2`, which stands for gRPC: modules that import it, or that run the script which does. */
function partsOf(files: Map<string, string>): string[] {
  const grpc = [...files.values()].some((text) => /\bhttp2\b/.test(text)) ? ["http2"] : [];
  return [...new Set([...files.keys()].map((name) => name.split("/").slice(0, 2).join("/"))), ...grpc].sort();
}

describe("architecture: start-up", () => {
  const launcher = ["packages/cli", "packages/coordinator", "packages/core"];

  it("the launcher spawns ranks before it imports a coordinator, and never what ranks run on", () => {
    expect(partsOf(evaluated(["main", "verb/add-verbs", "verb/load", "verb/run"]))).to.deep.equal(launcher);
  });

  it("the launcher spawns ranks before it imports what reads, plans or binds weights", () => {
    const doors = ["index", "runtime", "internal"].map((door) => `packages/core/dist/flat/${door}.js`);
    const files = evaluated(["main", "verb/add-verbs", "verb/load", "verb/run"]);
    expect(doors.filter((door) => files.has(door))).to.deep.equal([]);
  });

  it("the help imports neither", () => {
    const verbs = ["cache", "convert", "diff", "doctor", "download", "inspect", "load", "plan", "run", "verify"];
    expect(partsOf(evaluated(["main", ...verbs.map((verb) => `verb/${verb}`)]))).to.deep.equal(launcher);
  });

  it("a rank does not import what launches it", () => {
    const files = evaluated(["rank/rank-main"]);
    expect(
      [...files.keys()].filter((name) => /^packages\/(cli|coordinator)\//.test(name) && /(main|load|launcher)-parts/.test(name)),
    ).to.deep.equal([]);
    expect(partsOf(files)).to.deep.equal(["packages/cli", "packages/core", "packages/worker", "http2"].sort());
  });

  it("a rank without a pool does not import what runs a pool's threads", () => {
    const importers = [...evaluated(["rank/rank-main"])].filter(([, text]) => /^import\b.*"piscina"/m.test(text));
    expect(importers.map(([name]) => name)).to.deep.equal([]);
  });
});
