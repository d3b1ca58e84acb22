/** The libraries of the adapters are optional: without them everything else works, and each adapter says what to install. */
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { REPOSITORY } from "../../support/source-files.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";

const WORKER = join(REPOSITORY, "packages", "worker");

const PROGRAM = `
import { joinGroup } from "@rankcast/worker";
import { TensorMapModule } from "@rankcast/worker/tensor-map";
const errors = {};
for (const adapter of ["tfjs", "onnx", "jax-js"]) {
  await import("@rankcast/worker/" + adapter).then(() => undefined, (error) => {
    errors[adapter] = { name: error.name, code: error.code, class: error.class, message: error.message, remedy: error.remedy };
  });
}
console.log(JSON.stringify({ works: typeof joinGroup + new TensorMapModule([]).weights.size, errors }));
`;

describe("adapter: peers", function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();

  it("a program that installed none of them runs; each adapter names its package", async () => {
    const modules = join(directory(), "node_modules");
    // The worker as npm would install it: its own files and its dependencies, no peers and no development dependencies.
    cpSync(join(WORKER, "dist"), join(modules, "@rankcast", "worker", "dist"), { recursive: true });
    cpSync(join(WORKER, "package.json"), join(modules, "@rankcast", "worker", "package.json"));
    for (const name of ["@rankcast/core", "@rankcast/proto", "@grpc/grpc-js", "piscina"]) {
      mkdirSync(join(modules, name, ".."), { recursive: true });
      symlinkSync(realpathSync(join(WORKER, "node_modules", name)), join(modules, name));
    }
    writeFileSync(join(directory(), "program.mjs"), PROGRAM);
    const { stdout } = await promisify(execFile)(process.execPath, [join(directory(), "program.mjs")]);
    const { works, errors } = JSON.parse(stdout) as { works: string; errors: Record<string, Record<string, string>> };
    expect(works).to.equal("function0");
    for (const [adapter, peer] of [
      ["tfjs", "@tensorflow/tfjs-core"],
      ["onnx", "onnxruntime-common"],
      ["jax-js", "@jax-js/jax"],
    ] as const) {
      expect(errors[adapter], adapter).to.include({ code: "RANKCAST_ADAPTER_PEER", class: "usage", remedy: `Run: npm install ${peer}` });
      expect(errors[adapter]?.["message"]).to.equal(`@rankcast/worker/${adapter} needs ${peer}, which is not installed`);
    }
  });
});
