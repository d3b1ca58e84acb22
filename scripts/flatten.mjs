/**
 * Flattens compiled packages: the modules behind a package's doors become a few files in `dist/flat`, which the doors point to. Start-up time is
 * paid by every rank and every replica thread, and most of it is finding, reading and linking hundreds of small modules. Nothing else changes:
 * a package's doors share their modules, and names and lines stay as they are, so that stack traces can be read.
 */
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { join } from "node:path";
import { rolldown } from "rolldown";
import { ROOT } from "./bootstrap.mjs";

/** Other packages that a flattened file goes on importing: of ours, those with doors of their own; of others', those that find files beside themselves. */
const OURS = /^@rankcast\/(core|worker|coordinator)(\/|$)/;

/** Package → entries (its doors, and what its own code starts as threads or programs from beside itself) and dependencies that are taken in. */
const PACKAGES = {
  "packages/core": {
    entries: ["index", "runtime", "launcher", "internal", "source/file-thread", "segment/verify-thread", "memory/copy-thread"],
    inline: /^msgpackr(\/|$)/,
  },
  "packages/worker": { entries: ["index", "internal", "pool/thread-main"], inline: /^(?!piscina|@grpc\/proto-loader)/ },
  "packages/coordinator": {
    entries: ["index", "internal", "launcher", "thread", "launch/rank-guard", "broadcast/broadcast-thread", "fetch/cast-thread"],
    inline: /^(?!@grpc\/proto-loader)/,
  },
  "packages/cli": { entries: ["terminal/first-signals", "main", "rank/rank-main"], inline: /^commander(\/|$)/ },
};

for (const [folder, { entries, inline }] of Object.entries(PACKAGES)) await flatten(join(ROOT, folder, "dist"), entries, inline);

async function flatten(dist, entries, inline) {
  const flat = join(dist, "flat");
  const stamp = join(flat, ".stamp");
  const key = `${statSync(join(dist, ".tsbuildinfo")).mtimeMs} ${statSync(new URL(import.meta.url)).mtimeMs}`;
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === key) return;
  rmSync(flat, { recursive: true, force: true });
  // Entries lie side by side, because code finds its threads beside itself.
  const input = Object.fromEntries(entries.map((entry) => [entry.split("/").at(-1), join(dist, `${entry}.js`)]));
  const external = (id) => isBuiltin(id) || OURS.test(id) || (/^[^./]/.test(id) && !inline.test(id));
  const bundle = await rolldown({ input, platform: "node", external, logLevel: "warn" });
  await bundle.write({
    dir: flat,
    format: "esm",
    chunkFileNames: "[name]-[hash].js",
    entryFileNames: "[name].js",
    comments: { legal: true, annotation: false, jsdoc: false },
  });
  await bundle.close();
  requirePrograms(flat);
  writeFileSync(stamp, key);
}

/** What flattened code starts from beside itself must lie there: a forgotten entry would be found by the first user. */
function requirePrograms(flat) {
  for (const file of readdirSync(flat)) {
    for (const [, name] of readFileSync(join(flat, file), "utf8").matchAll(/new URL\("\.\/([\w-]+\.js)", import\.meta\.url\)/g)) {
      if (!existsSync(join(flat, name))) throw new Error(`${file} starts ${name}, which is no entry in scripts/flatten.mjs`);
    }
  }
}
