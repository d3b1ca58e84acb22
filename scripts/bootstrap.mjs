/**
 * Makes a fresh clone runnable: installs the workspace with a pinned pnpm (through npx, frozen lockfile) and builds what changed.
 * Both steps are skipped when nothing they depend on changed, so the second `npm start` is quick.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The one place that names the package manager's version. */
export const PNPM_VERSION = "10.34.8";
/** Absolute path of the repository. */
export const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
const INSTALL_STAMP = join(ROOT, "node_modules", ".rankcast-install");

/** Runs a command in the repository with inherited output; resolves with its exit code, 128 + n for signals. */
export function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: "inherit", ...options });
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve(code ?? (signal === "SIGINT" ? 130 : 143)));
  });
}

/** Runs a command beside others: resolves with its exit code and all that it wrote, to be shown when nobody else is writing. */
export function runAside(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: ROOT, ...options, stdio: ["ignore", "pipe", "pipe"] });
    const written = [];
    child.stdout.on("data", (chunk) => written.push(chunk));
    child.stderr.on("data", (chunk) => written.push(chunk));
    child.once("error", reject);
    child.once("close", (code, signal) => resolve({ code: code ?? (signal === "SIGINT" ? 130 : 143), output: Buffer.concat(written) }));
  });
}

/** Runs a command and ends this process with its exit code when it fails. `stdio` keeps results apart from notices. */
export async function must(command, args, options) {
  const code = await run(command, args, options);
  if (code !== 0) {
    process.stderr.write(`${[command, ...args].join(" ")} ended with exit code ${code}\n`);
    process.exit(code);
  }
}

function installKey() {
  const hash = createHash("sha256");
  for (const path of ["pnpm-lock.yaml", "pnpm-workspace.yaml", "package.json"]) hash.update(readFileSync(join(ROOT, path)));
  return `${PNPM_VERSION} ${process.versions.modules} ${hash.digest("hex")}`;
}

/** Installs dependencies unless the stamp says that this lockfile is already installed. Writes to stderr only. */
export async function install() {
  const key = installKey();
  if (existsSync(INSTALL_STAMP) && readFileSync(INSTALL_STAMP, "utf8") === key) return;
  process.stderr.write("Installing dependencies (first run or changed lockfile) ...\n");
  // The package manager's own notices are shown only when it fails: warnings about things we decided on purpose help nobody.
  const installed = spawnSync("npx", ["--yes", `pnpm@${PNPM_VERSION}`, "install", "--frozen-lockfile", "--prefer-offline"], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "pipe"],
    encoding: "utf8",
  });
  if (installed.status !== 0) {
    process.stderr.write(`${installed.stdout ?? ""}${installed.stderr ?? ""}\ninstalling dependencies failed\n`);
    process.exit(installed.status ?? 1);
  }
  writeFileSync(INSTALL_STAMP, key);
}

/** Compiles every package that changed (`tsc -b`), wire contract first, and flattens what starts with every rank. Writes to stderr only. */
export async function build() {
  await must(process.execPath, [join(ROOT, "scripts", "generate-proto.mjs")], { stdio: ["ignore", 2, 2] });
  await must(process.execPath, [join(ROOT, "node_modules", "typescript", "bin", "tsc"), "-b"], { stdio: ["ignore", 2, 2] });
  await must(process.execPath, [join(ROOT, "scripts", "copy-assets.mjs")], { stdio: ["ignore", 2, 2] });
  await must(process.execPath, [join(ROOT, "scripts", "flatten.mjs")], { stdio: ["ignore", 2, 2] });
}
