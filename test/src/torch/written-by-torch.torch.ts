/**
 * Checkpoints of random content that the torch of this machine wrote, in every way it can (`make_files.py`), read by us: each tensor's name, dtype,
 * shape and bytes, and which tensors share a storage. Runs where Python has torch: `npm run test:torch`.
 */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { DEFAULT_LIMITS } from "@rankcast/core";
import { openLocal, readCheckpoint } from "@rankcast/core/internal";
import { expect } from "chai";
import { type InspectedCheckpoint, type InspectedTensor, inspectTree } from "../conformance/inspect-fixture.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

const run = promisify(execFile);
const PYTHON = process.env["PYTHON"] ?? "python3";
const COUNT = process.env["RANKCAST_TORCH_FILES"] ?? "40";
const SEED = process.env["RANKCAST_TORCH_SEED"] ?? "1";
const SCRIPT = fileURLToPath(new URL("../../torch/make_files.py", import.meta.url));
/** What each torch can write at least; the rest comes and goes with its version. */
const KINDS = ["default", "legacy", "deflate", "TorchScript", "npz", "npy", "pickle 5"];

interface Row {
  readonly file: string;
  readonly how: string;
  readonly tensors: readonly InspectedTensor[];
  /** Names of objects that are no plain tensors (nested, distributed): what is in them is listed as we like. */
  readonly opaque: readonly string[];
  readonly aliases: readonly (readonly string[])[];
  /** False where the format does not keep the order. */
  readonly order?: boolean;
}

interface Made {
  readonly torch: string;
  readonly missing: Readonly<Record<string, string>>;
  readonly rows: readonly Row[];
}

async function inspect(path: string): Promise<InspectedCheckpoint> {
  const files = await openLocal(path);
  try {
    return await inspectTree(await readCheckpoint(files, { limits: DEFAULT_LIMITS }));
  } finally {
    await files.close();
  }
}

function compare(row: Row, found: InspectedCheckpoint): void {
  const where = `${row.file} (${row.how})`;
  const isOpaque = (name: string): boolean => row.opaque.some((each) => name === each || name.startsWith(`${each}.`));
  const listed = found.tensors.filter(({ name }) => !isOpaque(name));
  const byName = (a: InspectedTensor, b: InspectedTensor): number => (a.name < b.name ? -1 : 1);
  if (row.order === false) expect([...listed].sort(byName), where).to.deep.equal([...row.tensors].sort(byName));
  else expect(listed, where).to.deep.equal(row.tensors);
  const groups = (aliases: Row["aliases"]): string[] =>
    aliases.flatMap((names) => {
      const plain = names.filter((name) => !isOpaque(name));
      return plain.length > 1 ? [[...plain].sort().join(" ")] : [];
    });
  expect(groups(found.aliases).sort(), `${where}: aliases`).to.include.members(groups(row.aliases));
}

describe("written by torch, read by us", () => {
  const directory = temporaryDirectory();

  it("gives every tensor of every file back", async () => {
    await run(PYTHON, [SCRIPT, directory(), COUNT, SEED], { cwd: directory(), maxBuffer: 2 ** 26 });
    const made = JSON.parse(readFileSync(join(directory(), "expected.json"), "utf8")) as Made;
    const kinds = new Set(made.rows.map(({ how }) => how));
    expect([...kinds]).to.include.members(KINDS);
    process.stderr.write(
      `torch ${made.torch}: ${made.rows.length} checkpoints with seed ${SEED}; it does not make: ${Object.keys(made.missing).join(", ") || "nothing"}\n`,
    );
    const wrong: string[] = [];
    for (const row of made.rows) {
      try {
        compare(row, await inspect(join(directory(), row.file)));
      } catch (error) {
        wrong.push(`${row.file} (${row.how}): ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    expect(wrong.join("\n"), `of ${made.rows.length} checkpoints with seed ${SEED}`).to.equal("");
  }).timeout(600_000);
});
