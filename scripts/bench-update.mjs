/** `npm run bench:update`: installs, builds, measures weight updates and keeps the results. Further arguments go to bench/src/update.ts. */
import { join } from "node:path";
import { build, install, must, ROOT } from "./bootstrap.mjs";

await install();
await build();
const out = join(ROOT, "bench", "results", "update.json");
await must(process.execPath, [join(ROOT, "bench", "dist", "update.js"), "--out", out, ...process.argv.slice(2)]);
