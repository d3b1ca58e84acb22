/**
 * `npm run bench:peers`: installs, builds, loads one checkpoint into every rank in rankcast's way and in those of its peers, keeps the results,
 * draws them, and writes their table into README.md. Further arguments go to bench/src/peers/peers.ts; see bench/README.md.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build, install, must, ROOT } from "./bootstrap.mjs";

const SHOWN_MIB = 1024;

await install();
await build();
const results = join(ROOT, "bench", "results");
const out = join(results, "peers.json");
const plot = ["--plot", join(results, "peers.svg"), "--plot-mib", `${SHOWN_MIB}`];
await must(process.execPath, [join(ROOT, "bench", "dist", "peers", "peers.js"), "--out", out, ...plot, ...process.argv.slice(2)]);
const { renderPeersTable } = await import(new URL("../bench/dist/peers/peers-results.js", import.meta.url).href);
const readme = join(ROOT, "README.md");
const table = renderPeersTable(JSON.parse(readFileSync(out, "utf8")).rows, SHOWN_MIB);
writeFileSync(
  readme,
  readFileSync(readme, "utf8").replace(/(<!-- peers-table[^>]*-->\n)[\s\S]*?(<!-- \/peers-table -->)/, `$1${table}\n$2`),
);
