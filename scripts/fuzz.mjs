/**
 * `npm run fuzz -- [--inputs N] [--seconds N] [--seed N] [--threads N] [--reader NAME] [--replay PATH] [--grow]`: changed checkpoints for every
 * reader, until all inputs are examined or the time is over. Ends with counts; exit code 1 when something happened that must not, or when
 * the time was over first.
 */
import { join } from "node:path";
import { build, install, ROOT, run } from "./bootstrap.mjs";

await install();
await build();
process.exit(await run(process.execPath, [join(ROOT, "test", "dist", "fuzz", "fuzz-main.js"), ...process.argv.slice(2)]));
