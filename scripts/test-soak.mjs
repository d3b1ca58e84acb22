/** `npm run test:soak [updates [seed]]`: thousands of weight updates with faults in between. Default: 2 000 updates, some minutes. */
import { join } from "node:path";
import { build, install, ROOT, run } from "./bootstrap.mjs";

await install();
await build();
const [updates = "2000", seed = "20260"] = process.argv.slice(2);
const mocha = join(ROOT, "test", "node_modules", "mocha", "bin", "mocha.js");
process.exit(
  await run(process.execPath, [mocha, "--no-config", "--forbid-only", "dist/soak/*.soak.js"], {
    cwd: join(ROOT, "test"),
    env: { ...process.env, RANKCAST_SOAK_UPDATES: updates, RANKCAST_SOAK_SEED: seed },
  }),
);
