/**
 * `npm run bench:load`: installs, builds, measures the main job, keeps the results and writes their table into README.md. Further arguments go
 * to bench/src/load.ts.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build, install, must, ROOT } from "./bootstrap.mjs";

await install();
await build();
const out = join(ROOT, "bench", "results", "load.json");
await must(process.execPath, [join(ROOT, "bench", "dist", "load.js"), "--out", out, ...process.argv.slice(2)]);
const { renderTable } = await import(new URL("../bench/dist/load-results.js", import.meta.url).href);
const readme = join(ROOT, "README.md");
const table = renderTable(JSON.parse(readFileSync(out, "utf8")).rows);
writeFileSync(readme, readFileSync(readme, "utf8").replace(/(<!-- load-table[^>]*-->\n)[\s\S]*?(<!-- \/load-table -->)/, `$1${table}\n$2`));
