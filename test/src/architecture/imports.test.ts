/** Who may import whom: packages, folders inside packages, and one door per dependency (law L7). */
import { expect } from "chai";
import { type SourceFile, sourceFiles } from "../support/source-files.js";

/** Packages of ours that a package may import. */
const PACKAGE_IMPORTS = new Map([
  ["proto", []],
  ["packages/core", []],
  ["packages/worker", ["@rankcast/core", "@rankcast/proto"]],
  ["packages/coordinator", ["@rankcast/core", "@rankcast/proto"]],
  ["packages/cli", ["@rankcast/core", "@rankcast/worker", "@rankcast/coordinator"]],
]);

/** Folders in import order: a folder imports itself and folders before it. Files directly in `src` come last. */
const FOLDER_ORDER = new Map([
  [
    "packages/core",
    [
      "errors",
      "limits",
      "environment",
      "observe",
      "topology",
      "checksum",
      "tensor",
      "memory",
      "source",
      "meeting",
      "manifest",
      "scheme",
      "container",
      "pickle",
      "format",
      "plan",
      "transfer",
      "segment",
      "state-dict",
      "rev-keys",
      "map-location",
      "report",
      "module",
      "write",
      "barrier",
      "lease",
      "delta",
      "rendezvous",
      "broadcast",
      "load",
    ],
  ],
  ["packages/worker", ["environment", "grpc", "session", "replica", "pool", "group", "adapter"]],
  ["packages/coordinator", ["environment", "link", "grpc", "fetch", "broadcast", "round", "node", "metrics", "cluster", "launch"]],
  ["packages/cli", ["environment", "terminal", "option", "rank", "verb"]],
]);

/** The only files that may import a dependency. */
const DOORS = new Map<string, RegExp>([
  ["node-fetch", /^packages\/core\/src\/source\/http-[a-z-]+\.ts$/],
  ["msgpackr", /^packages\/core\/src\/manifest\/manifest-codec\.ts$/],
  ["koffi", /^packages\/core\/src\/memory\/native-memory\.ts$/],
  ["@node-rs/crc32", /^packages\/core\/src\/checksum\/fast-crc32\.ts$/],
  ["prom-client", /^packages\/coordinator\/src\/metrics\/job-metrics\.ts$/],
  ["piscina", /^packages\/worker\/src\/pool\/[a-z-]+\.ts$/],
  ["@grpc/grpc-js", /^packages\/(worker|coordinator)\/src\/grpc\/[a-z-]+\.ts$/],
  ["@rankcast/proto", /^packages\/(worker|coordinator)\/src\/grpc\/[a-z-]+\.ts$/],
  ["protobufjs", /^proto\//],
  ["@tensorflow/tfjs-core", /^packages\/worker\/src\/adapter\/tfjs\/tfjs-library\.ts$/],
  ["onnxruntime-common", /^packages\/worker\/src\/adapter\/onnx\/onnx-library\.ts$/],
  ["@jax-js/jax", /^packages\/worker\/src\/adapter\/jax-js\/jax-library\.ts$/],
  ["commander", /^packages\/cli\/src\/(main|option\/[a-z-]+|verb\/[a-z-]+)\.ts$/],
]);

const packageOf = (file: SourceFile): string =>
  file.path.startsWith("packages/") ? file.path.split("/").slice(0, 2).join("/") : (file.path.split("/")[0] ?? "");

/** Folder of a path inside `src`; files directly in `src` have the empty folder. */
function folderOf(path: string): string {
  const [, inside = ""] = path.split("/src/");
  return inside.includes("/") ? (inside.split("/")[0] ?? "") : "";
}

function resolveRelative(from: string, specifier: string): string {
  const parts = from.split("/").slice(0, -1);
  for (const part of specifier.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== ".") parts.push(part);
  }
  return parts.join("/");
}

describe("architecture: imports", () => {
  const files = [...sourceFiles("packages"), ...sourceFiles("proto/src")];

  it("packages import only the packages below them", () => {
    const wrong = files.flatMap((file) =>
      file.imports
        .filter((specifier) => specifier.startsWith("@rankcast/") || specifier === "rankcast")
        .filter(
          (specifier) =>
            !(PACKAGE_IMPORTS.get(packageOf(file)) ?? []).some((allowed) => specifier === allowed || specifier.startsWith(`${allowed}/`)),
        )
        .map((specifier) => `${file.path} imports ${specifier}`),
    );
    expect(wrong).to.deep.equal([]);
  });

  it("folders import only themselves and folders written before them", () => {
    const wrong: string[] = [];
    for (const file of files) {
      const order = FOLDER_ORDER.get(packageOf(file));
      const folder = folderOf(file.path);
      if (!order || folder === "") continue;
      if (!order.includes(folder)) wrong.push(`${file.path}: folder ${folder} has no place in the order`);
      for (const specifier of file.imports.filter((each) => each.startsWith("."))) {
        const target = folderOf(resolveRelative(file.path, specifier));
        if (target === "" || order.indexOf(target) > order.indexOf(folder)) wrong.push(`${file.path} imports ${specifier}`);
      }
    }
    expect(wrong).to.deep.equal([]);
  });

  it("each dependency has one door", () => {
    const wrong = files.flatMap((file) =>
      file.imports
        .filter((specifier) => DOORS.get(specifier.replace(/(protobufjs)\/.*/, "$1"))?.test(file.path) === false)
        .map((specifier) => `${file.path} imports ${specifier}`),
    );
    expect(wrong).to.deep.equal([]);
  });

  it("adapters are reached through their sub-paths only: a program without their libraries never imports them", () => {
    const wrong = files
      .filter((file) => !file.path.startsWith("packages/worker/src/adapter/"))
      .flatMap((file) => file.imports.filter((specifier) => specifier.includes("/adapter/")).map((each) => `${file.path} imports ${each}`));
    expect(wrong).to.deep.equal([]);
  });

  it("CRC-32 is computed behind one door", () => {
    const zlib = /import\s*\{[^}]*\bcrc32\b[^}]*\}\s*from "node:zlib"/;
    const wrong = files
      .filter((file) => zlib.test(file.text) && !/^packages\/core\/src\/checksum\//.test(file.path))
      .map((file) => file.path);
    expect(wrong).to.deep.equal([]);
  });

  it("process.env is read in files called environment.ts only", () => {
    const wrong = files
      .filter((file) => /process\.env\b/.test(withoutComments(file)) && !file.path.endsWith("/environment.ts"))
      .map((file) => file.path);
    expect(wrong).to.deep.equal([]);
  });

  it("manifest, plan, state-dict and the machines use no clock, chance, file or socket", () => {
    const pure = /^packages\/core\/src\/(manifest|plan|state-dict|barrier|rendezvous|broadcast|report)\//;
    const impure = /\bDate\b|\bsetTimeout\b|\bsetInterval\b|Math\.random|performance\.now|node:(fs|net|http|child_process|worker_threads)/;
    const wrong = files.filter((file) => pure.test(file.path) && impure.test(withoutComments(file))).map((file) => file.path);
    expect(wrong).to.deep.equal([]);
  });
});

function withoutComments(file: SourceFile): string {
  let text = file.text;
  for (const comment of [...file.comments].reverse()) text = text.slice(0, comment.start) + text.slice(comment.end);
  return text;
}
