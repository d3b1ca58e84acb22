/** `npm test`: installs, builds, checks style, runs the whole default suite. `npm test -- <mocha arguments>` runs a part of it. */
import { join } from "node:path";
import { build, install, must, ROOT, run } from "./bootstrap.mjs";

await install();
await build();
const mochaArguments = process.argv.slice(2);
if (mochaArguments.length === 0) await must(process.execPath, [join(ROOT, "scripts", "check.mjs")]);
process.exit(
  await run(
    process.execPath,
    [
      join(ROOT, "test", "node_modules", "mocha", "bin", "mocha.js"),
      ...(mochaArguments.length === 0 ? ["dist/**/*.test.js"] : mochaArguments),
    ],
    {
      cwd: join(ROOT, "test"),
    },
  ),
);
