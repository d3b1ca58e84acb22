/**
 * Copies what the compiler does not: the generated wire code and its types stay beside the compiled entry. Files that are the same are left
 * alone, for programs of another suite may be reading them.
 */
import { cpSync, existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./bootstrap.mjs";

const generated = join(ROOT, "proto", "src", "generated");
const isNew = (from, to) => statSync(from).isDirectory() || !existsSync(to) || !readFileSync(from).equals(readFileSync(to));
if (existsSync(generated)) cpSync(generated, join(ROOT, "proto", "dist", "generated"), { recursive: true, filter: isNew });
