/** `npm run bench:nodes`: installs, builds, measures jobs of two nodes and keeps the results. Further arguments go to bench/src/nodes.ts. */
import { join } from "node:path";
import { build, install, must, ROOT } from "./bootstrap.mjs";

await install();
await build();
const out = join(ROOT, "bench", "results", "nodes.json");
await must(process.execPath, [join(ROOT, "bench", "dist", "nodes.js"), "--out", out, ...process.argv.slice(2)]);
