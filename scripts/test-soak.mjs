/**
 * `npm run test:soak [updates [seed [minutes [nodes]]]]`: thousands of weight updates with faults in between. Default: 2 000 updates as fast as they go, some minutes; from fifteen
 * minutes on the slope of memory is judged, over the last two thirds (`npm run test:soak 4000 1 15`).
 * Three ranks of one node, or two ranks of each of several nodes on this machine.
 */
import { join } from "node:path";
import { build, install, ROOT, run } from "./bootstrap.mjs";

await install();
await build();
const [updates = "2000", seed = "20260", minutes = "0", nodes = "1"] = process.argv.slice(2);
const mocha = join(ROOT, "test", "node_modules", "mocha", "bin", "mocha.js");
process.exit(
  await run(process.execPath, [mocha, "--no-config", "--forbid-only", "dist/soak/*.soak.js"], {
    cwd: join(ROOT, "test"),
    env: {
      ...process.env,
      ...{ RANKCAST_SOAK_UPDATES: updates, RANKCAST_SOAK_SEED: seed, RANKCAST_SOAK_MINUTES: minutes, RANKCAST_SOAK_NODES: nodes },
    },
  }),
);
