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
import { writeCached } from "./code-cache.mjs";

/** Other packages that a flattened file goes on importing: of ours, those with doors of their own; of others', those that find files beside themselves. */
const OURS = /^@rankcast\/(core|worker|coordinator)(\/|$)/;

/** Most of what a rank or a coordinator evaluates that is not ours. */
const GRPC = { specifier: "@grpc/grpc-js", name: "grpc" };

/**
 * Package → entries (its doors, and what its own code starts as threads or programs from beside itself), dependencies that are taken in, and
 * `together`: for each group of entries, or of modules behind an `import()`, one file for all that they evaluate and no group before them does.
 * `cached`: a dependency that is kept compiled, and the name of its file. A file of its own for whatever some two entries share is a third of a millisecond each time that it is found, read and linked.
 */
const PACKAGES = {
  "packages/core": {
    entries: ["index", "runtime", "launcher", "internal", "source/file-thread", "checksum/checksum-thread", "memory/copy-thread"],
    inline: /^msgpackr(\/|$)/,
    together: [["launcher"], ["checksum-thread", "copy-thread"], ["runtime", "index"]],
  },
  "packages/worker": {
    entries: ["index", "internal", "pool/thread-main"],
    inline: /^(?!piscina|@grpc\/(grpc-js$|proto-loader))/,
    cached: GRPC,
    together: [["thread-main"], ["index", "internal"]],
  },
  "packages/coordinator": {
    entries: ["index", "internal", "launcher", "thread", "launch/rank-guard", "broadcast/broadcast-thread", "fetch/cast-thread"],
    inline: /^(?!@grpc\/(grpc-js$|proto-loader))/,
    cached: GRPC,
    together: [["rank-guard"], ["launcher"], ["start-coordinator"]],
  },
  "packages/cli": { entries: ["terminal/first-signals", "main", "rank/rank-main"], inline: /^commander(\/|$)/, together: [] },
};

for (const [folder, settings] of Object.entries(PACKAGES)) await flatten(join(ROOT, folder, "dist"), settings);

async function flatten(dist, { entries, inline, together, cached }) {
  const flat = join(dist, "flat");
  const stamp = join(flat, ".stamp");
  const key = `${statSync(join(dist, ".tsbuildinfo")).mtimeMs} ${scriptsMs()} ${process.version}`;
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === key) return;
  rmSync(flat, { recursive: true, force: true });
  // Entries lie side by side, because code finds its threads beside itself.
  const input = Object.fromEntries(entries.map((entry) => [entry.split("/").at(-1), join(dist, `${entry}.js`)]));
  const external = (id) => isBuiltin(id) || OURS.test(id) || (/^[^./]/.test(id) && !inline.test(id));
  const bundle = await rolldown({ input, platform: "node", external, logLevel: "warn" });
  // First as it comes, to see what each entry evaluates.
  const { output } = await bundle.generate({ format: "esm" });
  await bundle.write({
    dir: flat,
    format: "esm",
    codeSplitting: { groups: groupsOf(output, together) },
    chunkFileNames: "[name]-[hash].js",
    entryFileNames: "[name].js",
    comments: { legal: true, annotation: false, jsdoc: false },
    ...(cached ? { paths: { [cached.specifier]: `./${cached.name}.js` } } : {}),
  });
  await bundle.close();
  if (cached) await writeCached({ ...cached, cwd: join(dist, ".."), directory: flat, external: (id) => /^@grpc\/proto-loader/.test(id) });
  requirePrograms(flat);
  writeFileSync(stamp, key);
}

/** When the newest of what makes flat files was changed. */
function scriptsMs() {
  return Math.max(...["./flatten.mjs", "./code-cache.mjs"].map((path) => statSync(new URL(path, import.meta.url)).mtimeMs));
}

/** Earlier groups come first: what threads and launchers need must not bring along what only ranks do. */
function groupsOf(output, together) {
  const chunks = new Map(output.filter(({ type }) => type === "chunk").map((chunk) => [chunk.fileName, chunk]));
  return together.map((names, index) => {
    const open = [...chunks.values()].filter(({ name, isEntry, isDynamicEntry }) => (isEntry || isDynamicEntry) && names.includes(name));
    if (open.length !== names.length) throw new Error(`${names.join(", ")}: not all of these are entries or imported with import()`);
    const evaluated = new Set(open);
    for (const chunk of evaluated) for (const name of chunk.imports) if (chunks.has(name)) evaluated.add(chunks.get(name));
    const modules = new Set([...evaluated].flatMap((chunk) => chunk.moduleIds));
    // Programs do their work when they are evaluated: nobody may import one because of what it shares.
    for (const { facadeModuleId, isEntry } of chunks.values()) if (isEntry) modules.delete(facadeModuleId);
    return { name: `${names[0]}-parts`, test: (id) => modules.has(id), priority: together.length - index };
  });
}

/** What flattened code starts from beside itself must lie there: a forgotten entry would be found by the first user. */
function requirePrograms(flat) {
  for (const file of readdirSync(flat)) {
    for (const [, name] of readFileSync(join(flat, file), "utf8").matchAll(/new URL\("\.\/([\w-]+\.js)", import\.meta\.url\)/g)) {
      if (!existsSync(join(flat, name))) throw new Error(`${file} starts ${name}, which is no entry in scripts/flatten.mjs`);
    }
  }
}
