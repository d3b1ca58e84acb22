/**
 * Keeps code compiled. Every rank, every launcher and every replica thread evaluates the same code, and much of that is compiling what is the same each
 * time; V8 can keep what it has compiled, of scripts, not of modules. So the body of a flattened module becomes one script, a function of what the module
 * imports, and the module only imports, calls it and exports: whoever imports it gets the same classes as before. Beside the scripts lies what the
 * building Node's V8 made of them. Its names say which Node and processor that is for; any other finds none. V8 refuses what does not fit its version, its
 * flags or the script's length, and then compiles as if there were none; one that is damaged would end the process, so digests are compared first.
 */
import { createHash } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire, isBuiltin } from "node:module";
import { join } from "node:path";
import { Script } from "node:vm";
import { rolldown } from "rolldown";
import { parseAst } from "rolldown/parseAst";

/** Of a folder of flattened files: the module that runs its scripts. */
const RUNNER = "compiled.js";
/** Where a runner that has no digests yet leaves the scripts it has run: functions by which their caches are taken. */
const TAKEN = Symbol.for("rankcast.rehearsed-scripts");

/**
 * Makes the flattened module `name`.js a script and a module that runs it. Lines stay where they are.
 * @throws {Error} for a module whose exports change after it was evaluated: the script gives them once.
 */
export function makeScript(directory, name) {
  const path = join(directory, `${name}.js`);
  const text = readFileSync(path, "utf8");
  const { body } = parseAst(text);
  const imports = body.filter(({ type }) => type === "ImportDeclaration");
  const exported = body.filter(({ type }) => type === "ExportNamedDeclaration").flatMap(({ specifiers }) => specifiers);
  const live = imports.flatMap(liveFunctions);
  const locals = imports
    .flatMap(({ specifiers }) => specifiers.map(({ local }) => local.name))
    .filter((each) => live.every(({ local }) => local !== each));
  const sources = [...new Set(live.map(({ source }) => source))];
  const modules = sources.map((_, index) => `live$${index}`);
  const edits = body
    .filter(({ type }) => /^(Import|Export)/.test(type))
    .map(({ start, end }) => ({ start, end, by: text.slice(start, end).replace(/[^\n]/g, "") }));
  const names = new Set(exported.map(({ local }) => local.name));
  walk(body, (node) => {
    if (node.type === "MetaProperty" && node.meta.name === "import") edits.push({ start: node.start, end: node.end, by: "importMeta" });
    if (node.type === "ImportExpression") edits.push({ start: node.start, end: node.start + "import".length, by: "importFrom" });
    const written = node.type === "AssignmentExpression" ? node.left : node.type === "UpdateExpression" ? node.argument : null;
    if (names.has(written?.name)) throw new Error(`${path} exports ${written.name} and changes it`);
  });
  const given = exported.map(({ local, exported: as }) => `${JSON.stringify(as.name)}: ${local.name}`);
  const calls = live.map(
    ({ source, imported, local }) => `const ${local} = (...given) => ${modules[sources.indexOf(source)]}.${imported}(...given);`,
  );
  const head = `"use strict";(function (importMeta, importFrom, { ${[...locals, ...modules].join(", ")} }) {${calls.join("")}`;
  writeFileSync(join(directory, `${name}.cjs`), ascii(`${head}${edited(text, edits)}\nreturn { ${given.join(", ")} };\n})`));
  writeFileSync(
    path,
    `${imports.map(({ start, end }) => text.slice(start, end)).join("\n")}
${sources.map((source, index) => `import * as ${modules[index]} from "${source}";\n`).join("")}import { compiled as compiled$ } from "./${RUNNER}";
const { ${exported.map(({ exported: as }, index) => `${JSON.stringify(as.name)}: out$${index}`).join(", ")} } = compiled$("${name}")(import.meta, (specifier) => import(specifier), { ${[...locals, ...modules].join(", ")} });
export { ${exported.map(({ exported: as }, index) => `out$${index} as ${as.name}`).join(", ")} };
`,
  );
}

/** What a function has that nobody gave it anything; with more (`promisify.custom`) it is not only called. */
const PLAIN = new Set(["length", "name", "prototype", "withoutStackTrace", Symbol.toPrimitive]);

/**
 * Functions of Node that a module imports by name. A module sees it when somebody puts others in their place (instruments a file system, notes what is
 * opened) and has Node say so (`syncBuiltinESMExports`), and so must the script: it looks them up at each call. Classes it takes as they are.
 */
function liveFunctions({ source: { value: source }, specifiers }) {
  if (!isBuiltin(source)) return [];
  const builtin = createRequire(import.meta.url)(source);
  return specifiers
    .filter(
      ({ type, imported }) => type === "ImportSpecifier" && /^[a-z]/.test(imported.name) && typeof builtin[imported.name] === "function",
    )
    .filter(({ imported }) => imported.name !== "default" && Reflect.ownKeys(builtin[imported.name]).every((key) => PLAIN.has(key)))
    .map(({ imported, local }) => ({ source, imported: imported.name, local: local.name }));
}

/**
 * Makes the CommonJS package `specifier`, as `cwd` resolves it, the script `name`.cjs in `directory` and a module that runs it and exports all of it. What
 * `external` says yes to stays required.
 */
export async function makePackageScript({ specifier, name, cwd, directory, external }) {
  const path = join(directory, `${name}.cjs`);
  const bundle = await rolldown({
    input: specifier,
    cwd,
    platform: "node",
    external: (id) => isBuiltin(id) || (id !== specifier && external(id)),
    logLevel: "warn",
  });
  await bundle.write({ file: path, format: "cjs", comments: { legal: true, annotation: false, jsdoc: false } });
  await bundle.close();
  const text = ascii(`(function (exports, require, module) {${readFileSync(path, "utf8")}\n})`);
  writeFileSync(path, text);
  const module = { exports: {} };
  new Script(text, { filename: path }).runInThisContext()(module.exports, createRequire(path), module);
  const names = Object.keys(module.exports).filter((each) => /^[A-Za-z_$][\w$]*$/.test(each) && each !== "default");
  writeFileSync(
    join(directory, `${name}.js`),
    `import { createRequire } from "node:module";
import { compiled } from "./${RUNNER}";
const module = { exports: {} };
compiled("${name}")(module.exports, createRequire(import.meta.url), module);
export const { ${names.join(", ")} } = module.exports;
`,
  );
}

/** Lets the scripts of `directory` be taken by `takeCaches` in the process that runs them. */
export function awaitRehearsal(directory) {
  writeFileSync(
    join(directory, RUNNER),
    `import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { Script } from "node:vm";
export function compiled(name) {
	const filename = fileURLToPath(new URL(\`./\${name}.cjs\`, import.meta.url));
	const script = new Script(readFileSync(filename, "latin1"), { filename });
	globalThis[Symbol.for(${JSON.stringify(TAKEN.description)})]?.push({ directory: dirname(filename), name, script });
	return script.runInThisContext();
}
`,
  );
}

/** Begins to keep the scripts that are run in this process. */
export function beginRehearsal() {
  globalThis[TAKEN] = [];
}

/** Writes what V8 has compiled of the scripts that were run since, lazily compiled functions included. */
export function takeCaches() {
  for (const { directory, name, script } of globalThis[TAKEN]) writeFileSync(cachePath(directory, name), script.createCachedData());
}

/** Writes the runner of `directory`: it shows V8 the caches of `names` as they are now. @throws {Error} for one that no rehearsal has run. */
export function writeRunner(directory, names) {
  const digests = names.map((name) => {
    const text = readFileSync(join(directory, `${name}.cjs`));
    return `\t"${name}": "${digestOf(text, readFileSync(cachePath(directory, name)))}",\n`;
  });
  rmSync(join(directory, RUNNER));
  writeFileSync(
    join(directory, RUNNER),
    `// Written by scripts/code-cache.mjs.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Script } from "node:vm";

const DIGESTS = {
${digests.join("")}};

/** What the script \`name\`.cjs is worth: a function. */
export function compiled(name) {
	const filename = fileURLToPath(new URL(\`./\${name}.cjs\`, import.meta.url));
	const text = readFileSync(filename);
	// All of it is ASCII, which V8 keeps in a byte per character.
	return new Script(text.latin1Slice(), { filename, cachedData: cacheOf(name, text) }).runInThisContext();
}

function cacheOf(name, text) {
	try {
		const cache = readFileSync(new URL(\`./\${name}-\${process.version}-\${process.arch}.cache\`, import.meta.url));
		return digestOf(text, cache) === DIGESTS[name] ? cache : undefined;
	} catch {
		// Another Node than the one that built this: it compiles.
		return undefined;
	}
}

${digestOf.toString()}
`,
  );
}

function cachePath(directory, name) {
  return join(directory, `${name}-${process.version}-${process.arch}.cache`);
}

function digestOf(text, cache) {
  return createHash("sha256").update(text).update(cache).digest("hex");
}

function walk(node, visit) {
  if (Array.isArray(node)) for (const each of node) walk(each, visit);
  else if (typeof node === "object" && node !== null) {
    if (typeof node.type === "string") visit(node);
    for (const each of Object.values(node)) walk(each, visit);
  }
}

function edited(text, edits) {
  let from = 0;
  let result = "";
  for (const { start, end, by } of edits.sort((one, other) => one.start - other.start)) {
    result += text.slice(from, start) + by;
    from = end;
  }
  return result + text.slice(from);
}

/** The same program in ASCII. @throws {Error} where an escape would not mean the same. */
function ascii(text) {
  if (/String\.raw`[^`]*[\u0080-\uffff]|\\[\u0080-\uffff]/.test(text))
    throw new Error("a text that is not ASCII where an escape means something else");
  return text.replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
