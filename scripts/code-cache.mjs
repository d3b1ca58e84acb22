/**
 * Keeps a CommonJS dependency compiled. Every rank and every launcher evaluates all of gRPC, and half of that is compiling what is the same each time;
 * V8 can keep what it has compiled, of scripts, not of modules. So the dependency becomes one script, beside it what the building Node's V8 made of
 * it, and a module that runs the script. Its names say which Node and processor that is for; any other finds none. V8 refuses what does not fit its
 * version, its flags or the script's length, and then compiles as if there were none; one that is damaged would end the process, so the module
 * compares a digest of both files first.
 */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire, isBuiltin } from "node:module";
import { join } from "node:path";
import { Script } from "node:vm";
import { rolldown } from "rolldown";

/** Names of what one script becomes. */
const scriptName = (name) => `${name}.cjs`;
const cacheName = (name) => `${name}-${process.version}-${process.arch}.cache`;

/**
 * Writes `name`.cjs, its cache and the module `name`.js that exports all of the CommonJS package `specifier`, as `cwd` resolves it, into `directory`.
 * What `external` says yes to stays required.
 */
export async function writeCached({ specifier, name, cwd, directory, external }) {
  const path = join(directory, scriptName(name));
  const bundle = await rolldown({
    input: specifier,
    cwd,
    platform: "node",
    external: (id) => isBuiltin(id) || (id !== specifier && external(id)),
    logLevel: "warn",
  });
  await bundle.write({ file: path, format: "cjs", comments: { legal: true, annotation: false, jsdoc: false } });
  await bundle.close();
  const text = readFileSync(path, "utf8");
  const script = new Script(wrapped(text), { filename: path });
  const module = { exports: {} };
  script.runInThisContext()(module.exports, createRequire(path), module);
  // After it has run: what was compiled on the way is kept, too.
  const cache = script.createCachedData();
  writeFileSync(join(directory, cacheName(name)), cache);
  const names = Object.keys(module.exports).filter((each) => /^[A-Za-z_$][\w$]*$/.test(each) && each !== "default");
  writeFileSync(join(directory, `${name}.js`), moduleText(name, names, digestOf(text, cache)));
}

function wrapped(text) {
  return `(function (exports, require, module) {${text}\n})`;
}

function digestOf(text, cache) {
  return createHash("sha256").update(text).update(cache).digest("hex");
}

function moduleText(name, names, digest) {
  return `// Written by scripts/code-cache.mjs.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { Script } from "node:vm";

const filename = fileURLToPath(new URL("./${scriptName(name)}", import.meta.url));
const text = readFileSync(filename, "utf8");

${wrapped.toString()}

${digestOf.toString()}

function compiled() {
	try {
		const cache = readFileSync(new URL(\`./${name}-\${process.version}-\${process.arch}.cache\`, import.meta.url));
		return digestOf(text, cache) === "${digest}" ? cache : undefined;
	} catch {
		// Another Node than the one that built this: it compiles.
		return undefined;
	}
}

const module = { exports: {} };
const script = new Script(wrapped(text), { filename, cachedData: compiled() });
script.runInThisContext()(module.exports, createRequire(import.meta.url), module);

export const { ${names.join(", ")} } = module.exports;
`;
}
