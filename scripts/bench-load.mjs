/** `npm run bench:load`: installs, builds, measures the main job and keeps the results. Further arguments go to bench/src/load.ts. */
import { join } from "node:path";
import { build, install, ROOT, run } from "./bootstrap.mjs";

await install();
await build();
const out = ["--out", join(ROOT, "bench", "results", "load.json")];
process.exit(await run(process.execPath, [join(ROOT, "bench", "dist", "load.js"), ...out, ...process.argv.slice(2)]));
