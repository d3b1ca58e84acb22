/**
 * Runs one optional suite: says what is missing and how to get it, builds, and runs mocha on its files.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { build, install, ROOT, run } from "./bootstrap.mjs";

/** Ends the process with the suite's exit code; 2 when one of `programs` is missing. `packages` are Debian's names. */
export async function runOptionalSuite({ name, programs, packages, files, timeoutMs }) {
  const missing = programs.filter(
    (program) => spawnSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore", env: withSbin() }).status !== 0,
  );
  if (missing.length > 0) {
    process.stderr.write(
      `${name}: ${missing.join(", ")} ${missing.length === 1 ? "is" : "are"} missing; on Debian: apt-get install ${packages.join(" ")}\n`,
    );
    process.exit(2);
  }
  await install();
  await build();
  const mocha = join(ROOT, "test", "node_modules", "mocha", "bin", "mocha.js");
  const args = [mocha, "--no-config", "--forbid-only", "--timeout", String(timeoutMs), ...files, ...process.argv.slice(2)];
  process.exit(await run(process.execPath, args, { cwd: join(ROOT, "test"), env: withSbin() }));
}

/** Daemons live in sbin, which is not on every user's path. */
function withSbin() {
  return { ...process.env, PATH: `${process.env.PATH ?? ""}:/usr/sbin:/sbin` };
}
