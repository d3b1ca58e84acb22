/**
 * `npm test`: installs, builds, checks style, runs the whole default suite. `npm test -- <mocha arguments>` runs a part of it.
 * First what may run beside other tests, in one mocha per processor, then what may not: each prints its own totals.
 */
import { join } from "node:path";
import { build, install, must, ROOT, run, runAside } from "./bootstrap.mjs";
import { splitSuite } from "./split-suite.mjs";

const MOCHA = join(ROOT, "test", "node_modules", "mocha", "bin", "mocha.js");
const IN_TEST = { cwd: join(ROOT, "test") };

await install();
await build();
const mochaArguments = process.argv.slice(2);
process.exitCode = mochaArguments.length > 0 ? await mocha(mochaArguments) : await wholeSuite();

async function wholeSuite() {
  await must(process.execPath, [join(ROOT, "scripts", "check.mjs")]);
  const { lanes, alone } = splitSuite();
  const [first = [], ...others] = lanes;
  const aside = others.map((files) => runAside(process.execPath, [MOCHA, ...files], IN_TEST));
  const codes = [await mocha(first)];
  for (const { code, output } of await Promise.all(aside)) {
    process.stdout.write(output);
    codes.push(code);
  }
  codes.push(await mocha(alone));
  return codes.find((code) => code !== 0) ?? 0;
}

function mocha(given) {
  return run(process.execPath, [MOCHA, ...given], IN_TEST);
}
