/**
 * `npm run test:onnx`: the tests of the ONNX adapter with onnxruntime-node, which the default suite leaves out because it is 113 MB to download.
 * Its install script only fetches CUDA's libraries; the binary for the CPU is in the package, so it is installed without scripts, beside the
 * workspace.
 */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build, install, must, ROOT, run } from "./bootstrap.mjs";

const VERSION = "1.30.0";

await install();
await build();
const folder = join(ROOT, "node_modules", ".onnxruntime-node", VERSION);
const entry = join(folder, "node_modules", "onnxruntime-node", "dist", "index.js");
if (!existsSync(entry)) {
  mkdirSync(folder, { recursive: true });
  const flags = ["--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund", "--no-save"];
  await must("npm", ["install", ...flags, `onnxruntime-node@${VERSION}`], { stdio: ["ignore", 2, 2] });
}
const mocha = [join(ROOT, "test", "node_modules", "mocha", "bin", "mocha.js"), "dist/worker/adapter/onnx.test.js"];
process.exitCode = await run(process.execPath, mocha, { cwd: join(ROOT, "test"), env: { ...process.env, ORT: pathToFileURL(entry).href } });
