/** Compiles proto/rankcast/v1/*.proto to static ES modules with types (protobufjs-cli), only when a .proto file changed. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./bootstrap.mjs";

const source = join(ROOT, "proto", "rankcast", "v1");
const target = join(ROOT, "proto", "src", "generated");
const files = existsSync(source)
  ? readdirSync(source)
      .filter((name) => name.endsWith(".proto"))
      .sort()
  : [];
if (files.length > 0) {
  const hash = createHash("sha256").update(readFileSync(new URL(import.meta.url)));
  for (const name of files) hash.update(name).update(readFileSync(join(source, name)));
  const key = hash.digest("hex");
  const stamp = join(target, ".stamp");
  if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== key) {
    mkdirSync(target, { recursive: true });
    const pbjs = join(ROOT, "proto", "node_modules", "protobufjs-cli", "bin", "pbjs");
    execFileSync(
      process.execPath,
      [
        pbjs,
        "-t",
        "static-module",
        "-w",
        "esm",
        "--dts",
        "--no-delimited",
        "--no-convert",
        "--no-verify",
        "-p",
        join(ROOT, "proto"),
        "-o",
        join(target, "rankcast.js"),
        ...files.map((name) => join(source, name)),
      ],
      { stdio: ["ignore", "inherit", "inherit"] },
    );
    writeFileSync(stamp, key);
  }
}
