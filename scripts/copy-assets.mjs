/** Copies what the compiler does not: the generated wire code and its types stay beside the compiled entry. */
import { cpSync, existsSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./bootstrap.mjs";

const generated = join(ROOT, "proto", "src", "generated");
if (existsSync(generated)) cpSync(generated, join(ROOT, "proto", "dist", "generated"), { recursive: true });
