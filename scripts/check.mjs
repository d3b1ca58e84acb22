/** Formatting and lint; never changes a file. */
import { join } from "node:path";
import { must, ROOT } from "./bootstrap.mjs";

await must(process.execPath, [
  join(ROOT, "node_modules", "@biomejs", "biome", "bin", "biome"),
  "check",
  "--diagnostic-level=warn",
  "--error-on-warnings",
]);
