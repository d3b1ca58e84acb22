/**
 * `npm run bench:peers`: installs, builds, loads one checkpoint into every rank in rankcast's way and in those of its peers, keeps the results,
 * draws them, and writes their tables into README.md. Further arguments go to bench/src/peers/peers.ts; see bench/README.md.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build, install, ROOT, run } from "./bootstrap.mjs";

await install();
await build();
const results = join(ROOT, "bench", "results");
const out = join(results, "peers.json");
const files = ["--out", out, "--plot", join(results, "peers.svg")];
// The bench ends on the terminal's signal; what it has found until then is kept, and shown like everything else.
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => undefined);
process.exitCode = await run(process.execPath, [join(ROOT, "bench", "dist", "peers", "peers.js"), ...files, ...process.argv.slice(2)]);
const { renderPeersNote, renderPeersTables } = await import(new URL("../bench/dist/peers/peers-table.js", import.meta.url).href);
const found = JSON.parse(readFileSync(out, "utf8"));
const text = `${renderPeersTables(found)}\n\n${renderPeersNote(found)}\n`;
const readme = join(ROOT, "README.md");
const shown = /(?<=<!-- peers-table[^>]*-->\n)[\s\S]*?(?=<!-- \/peers-table -->)/;
writeFileSync(
  readme,
  readFileSync(readme, "utf8").replace(shown, () => text),
);
