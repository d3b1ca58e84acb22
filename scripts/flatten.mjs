/**
 * Flattens compiled packages: the modules behind a package's doors become a few files in `dist/flat`, which the doors point to. Start-up time is
 * paid by every rank and every replica thread, and most of it is finding, reading and linking hundreds of small modules. Nothing else changes:
 * a package's doors share their modules, and names and lines stay as they are, so that stack traces can be read.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";
import { ROOT } from "./bootstrap.mjs";
import { awaitRehearsal, makePackageScript, makeScript, writeRunner } from "./code-cache.mjs";

/** Other packages that a flattened file goes on importing: of ours, those with doors of their own; of others', those that find files beside themselves. */
const OURS = /^@rankcast\/(core|worker|coordinator)(\/|$)/;

/** It takes a second. */
const REHEARSAL_MS_MAX = 120_000;

/** Most of what a rank or a coordinator evaluates that is not ours. */
const GRPC = { specifier: "@grpc/grpc-js", name: "grpc" };

/**
 * Package → entries (its doors, and what its own code starts as threads or programs from beside itself), dependencies that are taken in, and
 * `together`: for each group of entries, or of modules behind an `import()`, one file for all that they evaluate and no group before them does.
 * `shared`: modules of two such groups that do not need each other, in a file of their own.
 * A file of its own for whatever some two entries share is a third of a millisecond each time that it is found, read and linked.
 * Kept compiled: `scripts`, files by what they are named after, and `grpc`, the dependency of that name.
 */
const PACKAGES = {
  "packages/core": {
    entries: ["index", "runtime", "launcher", "internal", "source/file-thread", "checksum/checksum-thread", "memory/copy-thread"],
    inline: /^msgpackr(\/|$)/,
    together: [["launcher"], ["checksum-thread", "copy-thread"], ["runtime", "index"], ["read-checkpoint", "resolve-weights", "local"]],
    scripts: ["launcher-parts", "checksum-thread-parts", "runtime-parts", "read-checkpoint-parts"],
  },
  "packages/worker": {
    entries: ["index", "internal", "pool/thread-main"],
    inline: /^(?!piscina|@grpc\/(grpc-js$|proto-loader))/,
    together: [["thread-main"], ["index", "internal"]],
    scripts: ["thread-main-parts", "index-parts"],
    grpc: true,
  },
  "packages/coordinator": {
    entries: ["index", "internal", "launcher", "thread", "launch/rank-guard", "broadcast/broadcast-thread", "fetch/cast-thread"],
    inline: /^(?!@grpc\/(grpc-js$|proto-loader))/,
    together: [["rank-guard"], ["launcher"], ["start-coordinator"]],
    scripts: ["launcher-parts", "start-coordinator-parts"],
    grpc: true,
  },
  "packages/cli": {
    entries: ["terminal/first-signals", "main", "rank/rank-main"],
    inline: /^commander(\/|$)/,
    shared: ["environment/environment", "rank/load-request"],
    together: [["main"], ["load"]],
    scripts: ["main-parts", "load-parts"],
  },
};

const flattened = [];
for (const [folder, settings] of Object.entries(PACKAGES)) {
  const done = await flatten(join(ROOT, folder, "dist"), settings);
  if (done) flattened.push(done);
}
if (flattened.length > 0) {
  rehearse();
  for (const { flat, names, stamp, key } of flattened) {
    writeRunner(flat, names);
    writeFileSync(stamp, key);
  }
}

/** Gives null where nothing has changed, else what is left to do. */
async function flatten(dist, { entries, inline, shared = [], together, scripts, grpc = false }) {
  const flat = join(dist, "flat");
  const stamp = join(flat, ".stamp");
  const key = `${statSync(join(dist, ".tsbuildinfo")).mtimeMs} ${scriptsMs()} ${process.version}`;
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === key) return null;
  rmSync(flat, { recursive: true, force: true });
  // Entries lie side by side, because code finds its threads beside itself.
  const input = Object.fromEntries(entries.map((entry) => [entry.split("/").at(-1), join(dist, `${entry}.js`)]));
  const external = (id) => isBuiltin(id) || OURS.test(id) || (/^[^./]/.test(id) && !inline.test(id));
  const bundle = await rolldown({ input, platform: "node", external, logLevel: "warn" });
  // First as it comes, to see what each entry evaluates.
  const { output } = await bundle.generate({ format: "esm" });
  const written = await bundle.write({
    dir: flat,
    format: "esm",
    codeSplitting: { groups: [...groupOf(shared.map((each) => join(dist, `${each}.js`))), ...groupsOf(output, together)] },
    chunkFileNames: "[name]-[hash].js",
    entryFileNames: "[name].js",
    comments: { legal: true, annotation: false, jsdoc: false },
    ...(grpc ? { paths: { [GRPC.specifier]: `./${GRPC.name}.js` } } : {}),
  });
  await bundle.close();
  requirePrograms(flat);
  const names = scripts.map((script) => fileOf(written.output, script));
  for (const name of names) makeScript(flat, name);
  if (grpc) {
    await makePackageScript({ ...GRPC, cwd: join(dist, ".."), directory: flat, external: (id) => /^@grpc\/proto-loader/.test(id) });
    names.push(GRPC.name);
  }
  awaitRehearsal(flat);
  return { flat, names, stamp, key };
}

/** What the largest file that is named after `script` is called, without its ending: a small one of that name gives others' exports on. */
function fileOf(output, script) {
  const [largest] = output
    .filter(({ type, name }) => type === "chunk" && name === script)
    .sort((one, other) => other.code.length - one.code.length);
  if (!largest) throw new Error(`${script}: no file is named after it`);
  return largest.fileName.replace(/\.js$/, "");
}

/** Runs what was flattened, so that what is compiled on the way can be kept. */
function rehearse() {
  // The builder's own variables might make it a rank of some job, and its options of V8 a cache that others refuse.
  const env = Object.fromEntries(["PATH", "HOME", "TMPDIR"].flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
  const program = fileURLToPath(new URL("./rehearse.mjs", import.meta.url));
  const { status, signal, stderr } = spawnSync(process.execPath, [program], { env, encoding: "utf8", timeout: REHEARSAL_MS_MAX });
  if (status !== 0) throw new Error(`the rehearsal of flattened code ended with ${status ?? signal}: ${stderr}`);
}

/** When the newest of what makes flat files was changed. */
function scriptsMs() {
  return Math.max(
    ...["./flatten.mjs", "./code-cache.mjs", "./rehearse.mjs"].map((path) => statSync(new URL(path, import.meta.url)).mtimeMs),
  );
}

/** One file for `modules`, before all others. */
function groupOf(modules) {
  return modules.length === 0 ? [] : [{ name: "shared", test: (id) => modules.includes(id), priority: 1000 }];
}

/** Earlier groups come first: what threads and launchers need must not bring along what only ranks do. */
function groupsOf(output, together) {
  const chunks = new Map(output.filter(({ type }) => type === "chunk").map((chunk) => [chunk.fileName, chunk]));
  return together.map((names, index) => {
    const open = [...chunks.values()].filter(({ name }) => names.includes(name));
    if (names.some((wanted) => open.every(({ name }) => name !== wanted)))
      throw new Error(`${names.join(", ")}: no file of its own is named after one of these`);
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
