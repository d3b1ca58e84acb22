/** `npm run test:faults [-- runs [seed]]`: processes that are killed or stopped at chosen moments, each case `runs` times. Default: 2, about two minutes. */
import { join } from "node:path";
import { build, install, ROOT, run } from "./bootstrap.mjs";

await install();
await build();
const [runs = "2", seed = "1", ...more] = process.argv.slice(2);
const mocha = join(ROOT, "test", "node_modules", "mocha", "bin", "mocha.js");
process.exit(
  await run(process.execPath, [mocha, "--no-config", "--forbid-only", "--reporter", "spec", "dist/faults/*.faults.js", ...more], {
    cwd: join(ROOT, "test"),
    env: { ...process.env, RANKCAST_FAULT_RUNS: runs, RANKCAST_FAULT_SEED: seed },
  }),
);
