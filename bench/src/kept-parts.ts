/** Results that are measured in parts: a file keeps the newest of each. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { dirname } from "node:path";
import { currentCommit } from "./load-results.js";

/** What a part says of itself: what it measured, and how many threads wanted a processor in the minute before. */
export function provenance(): { readonly commit: string; readonly loadBefore: number } {
  return { commit: currentCommit(), loadBefore: Number((loadavg()[0] ?? 0).toFixed(1)) };
}

/** Puts `parts` into the JSON object of `file`, which is made where there is none; what else it has stays. */
export function keepParts(file: string, parts: { readonly [name: string]: object }): void {
  const kept = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as object) : {};
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify({ ...kept, ...parts }, null, 2)}\n`);
}
