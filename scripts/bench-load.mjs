/**
 * `npm run bench:load`: installs, builds, measures the main job, and keeps the results in bench/results/load.json. Further arguments go to
 * bench/src/load.ts.
 */
import { join } from "node:path";
import { build, install, must, ROOT } from "./bootstrap.mjs";

await install();
await build();
const out = join(ROOT, "bench", "results", "load.json");
await must(process.execPath, [join(ROOT, "bench", "dist", "load.js"), "--out", out, ...process.argv.slice(2)]);
