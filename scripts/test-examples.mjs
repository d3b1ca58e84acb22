/** `npm run test:examples`: examples that take minutes, to their ends. The default suite runs short forms of all of them. */
import { join } from "node:path";
import { build, install, ROOT, run } from "./bootstrap.mjs";

await install();
await build();
const mocha = [join(ROOT, "test", "node_modules", "mocha", "bin", "mocha.js"), "dist/examples/*.long.js"];
process.exitCode = await run(process.execPath, mocha, { cwd: join(ROOT, "test") });
