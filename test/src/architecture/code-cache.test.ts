/** What is kept compiled beside flattened code: taken where it fits, and never needed. */
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import os from "node:os";
import { join, sep } from "node:path";
import { pathToFileURL } from "node:url";
import { expect } from "chai";
import { REPOSITORY } from "../support/source-files.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

const CACHE = `grpc-${process.version}-${process.arch}.cache`;
const FILES = ["compiled.js", "grpc.js", "grpc.cjs", CACHE] as const;
const PACKAGES = ["core", "worker", "coordinator", "cli"];

/** Flattened files of a package. */
function filesOf(name: string): string[] {
  return readdirSync(join(REPOSITORY, "packages", name, "dist/flat"));
}

/** Imports gRPC's module in a Node of its own: whether V8 refused the cache (null: it was shown none), and what the package exports. */
function imported(directory: string, flags: readonly string[] = []): { readonly refused: boolean | null; readonly exports: string } {
  const code = `
    import vm from "node:vm";
    import { syncBuiltinESMExports } from "node:module";
    let refused;
    vm.Script = class extends vm.Script {
      constructor(text, options) {
        super(text, options);
        refused = this.cachedDataRejected ?? null;
      }
    };
    syncBuiltinESMExports();
    const { Client, Server, status } = await import(${JSON.stringify(pathToFileURL(join(directory, "grpc.js")).href)});
    console.log(JSON.stringify({ refused, exports: [typeof Client, typeof Server, status.UNAUTHENTICATED].join() }));`;
  return JSON.parse(execFileSync(process.execPath, [...flags, "--input-type=module", "-e", code], { encoding: "utf8" }));
}

function flatUrl(name: string): string {
  return `${pathToFileURL(join(REPOSITORY, "packages", name, "dist/flat")).href}/`;
}

describe("architecture: code kept compiled", () => {
  const whole = "function,function,16";

  for (const name of PACKAGES) {
    it(`the ${name}'s is taken by the Node that built it, every file`, () => {
      const scripts = filesOf(name).filter((file) => file.endsWith(".cjs"));
      const code = `
        import vm from "node:vm";
        import { syncBuiltinESMExports } from "node:module";
        const refused = {};
        vm.Script = class extends vm.Script {
          constructor(text, options) {
            super(text, options);
            refused[options?.filename] = this.cachedDataRejected ?? null;
          }
        };
        syncBuiltinESMExports();
        for (const script of ${JSON.stringify(scripts)}) await import(${JSON.stringify(flatUrl(name))} + script.replace(/cjs$/, "js"));
        console.log(JSON.stringify(refused));`;
      const refused = JSON.parse(execFileSync(process.execPath, ["--input-type=module", "-e", code], { encoding: "utf8" }));
      expect(scripts).to.not.deep.equal([]);
      for (const script of scripts) expect(refused[join(REPOSITORY, "packages", name, "dist/flat", script)], script).to.equal(false);
    });
  }

  it("an error says the name and the line of the script that is read beside it", () => {
    const code = `
      import { StateDict, saveTorch } from ${JSON.stringify(`${flatUrl("core")}index.js`)};
      await saveTorch(new StateDict(), "");`;
    const { stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", code], { encoding: "utf8" });
    const [, path = "", line = ""] = /at saveTorch \((\S+\.cjs):(\d+):\d+\)/.exec(stderr) ?? [];
    const around = readFileSync(path, "utf8")
      .split("\n")
      .slice(Number(line) - 3, Number(line));
    expect(around.join("\n")).to.contain("requireSaveArguments");
  });

  describe("a module that becomes a script", () => {
    const directory = temporaryDirectory();

    async function makeScript(text: string): Promise<void> {
      const { awaitRehearsal, makeScript: make } = await import(pathToFileURL(join(REPOSITORY, "scripts/code-cache.mjs")).href);
      writeFileSync(join(directory(), "part.js"), text);
      make(directory(), "part");
      awaitRehearsal(directory());
    }

    it("exports what it exported: where it lies, what it imports late, its text, its strictness", async () => {
      writeFileSync(join(directory(), "late.js"), "export const late = 7;");
      await makeScript(`import { sep as separator } from "node:path";
const here = import.meta.url;
const load = async () => (await import("./late.js")).late;
const word = "µ…😀";
function isStrict() { return this === undefined; }
export { here as a, load as b, word as default, isStrict as c, separator as d };
`);
      const part = await import(pathToFileURL(join(directory(), "part.js")).href);
      const { a: found, b: load, c: isStrict, d: separator, default: word } = part;
      const here = pathToFileURL(join(directory(), "part.js")).href;
      expect([found, await load(), word, isStrict(), separator]).to.deep.equal([here, 7, "µ…😀", true, sep]);
      expect(readFileSync(join(directory(), "part.cjs")).every((byte) => byte < 128)).to.equal(true);
    });

    it("calls what stands in the place of a built-in function by then, as a module does", async () => {
      await makeScript('import { hostname as name } from "node:os";\nconst host = () => name();\nexport { host };\n');
      const { host } = await import(pathToFileURL(join(directory(), "part.js")).href);
      const { hostname } = os;
      os.hostname = () => "another";
      syncBuiltinESMExports();
      try {
        expect(host()).to.equal("another");
      } finally {
        os.hostname = hostname;
        syncBuiltinESMExports();
      }
      expect(host()).to.equal(hostname());
    });

    it("is refused when an export changes, which a script gives once", async () => {
      const refused = await makeScript("let count = 0;\nfunction next() { count += 1; }\nexport { count, next };\n").catch(
        (error) => error,
      );
      expect(refused).to.be.an("error");
      expect(refused.message).to.match(/part\.js exports count and changes it$/);
    });
  });

  describe("in a folder of its own", () => {
    const directory = temporaryDirectory();

    beforeEach(() => {
      for (const file of FILES) cpSync(join(REPOSITORY, "packages/worker/dist/flat", file), join(directory(), file));
    });

    it("it is taken wherever the package was moved to", () => {
      expect(imported(directory())).to.deep.equal({ refused: false, exports: whole });
    });

    it("a damaged one, which V8 would not survive, is not shown to it", () => {
      const bytes = readFileSync(join(directory(), CACHE));
      bytes.fill(0x55, 60_000, 60_008);
      writeFileSync(join(directory(), CACHE), bytes);
      expect(imported(directory())).to.deep.equal({ refused: null, exports: whole });
    });

    it("one that is cut short is left aside", () => {
      truncateSync(join(directory(), CACHE), 1000);
      expect(imported(directory())).to.deep.equal({ refused: null, exports: whole });
    });

    it("one of a script that was changed since, to the same length, is left aside", () => {
      const path = join(directory(), "grpc.cjs");
      writeFileSync(path, readFileSync(path, "utf8").replace(/UNAUTHENTICATED"\] = 16/, 'UNAUTHENTICATED"] = 61'));
      expect(imported(directory())).to.deep.equal({ refused: null, exports: whole.replace("16", "61") });
    });

    it("a V8 with other flags refuses it, and compiles", () => {
      expect(imported(directory(), ["--no-lazy"])).to.deep.equal({ refused: true, exports: whole });
    });

    it("where there is none, another Node's or none at all, the code is compiled", () => {
      rmSync(join(directory(), CACHE));
      expect(imported(directory())).to.deep.equal({ refused: null, exports: whole });
    });
  });
});
