/** Compiles and runs the program that maps and touches and does nothing else. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { PeersCost } from "./peers-results.js";

const SOURCE = fileURLToPath(new URL("../../native/map_floor.c", import.meta.url));
const run = promisify(execFile);

/** The compiled program in `directory`; null where there is no C compiler. */
export async function compileFloor(directory: string): Promise<string | null> {
  const program = join(directory, "map-floor");
  if (existsSync(program)) return program;
  try {
    await run("cc", ["-O2", "-o", program, SOURCE]);
    return program;
  } catch {
    return null;
  }
}

/** Maps `path` on `ranks` processes. @throws {Error} when it cannot be mapped. */
export async function runFloor(program: string, path: string, ranks: number): Promise<PeersCost> {
  const { stdout } = await run(program, [path, `${ranks}`]);
  return { ...(JSON.parse(stdout) as Omit<PeersCost, "touched">), touched: null };
}
