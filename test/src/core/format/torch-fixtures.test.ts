import { CheckpointError } from "@rankcast/core";
import { npz, plainPickle, safetensors, torchLegacy, torchTar, torchZip } from "@rankcast/core/internal";
import { expect } from "chai";
import { EXPECTED, type FixtureRow, fixtureBytes, refusalClasses } from "../../support/fixtures.ts";
import { type ReadTensors, readTensors } from "../../support/read-tensors.ts";

const FORMATS = [safetensors, npz, torchZip, torchLegacy, torchTar, plainPickle];
const OURS = new Set(["torch-zip", "torch-legacy", "torch-tar", "pickle"]);
/** Files of other readers, and folders. */
const THEIRS = /\/(st_|dcp_|npy_|npz_|index_|shard_)|\.(json|safetensors|h5|gguf)$|\/(header|index)\//;

describe("torch formats on fixtures", () => {
  for (const [path, row] of EXPECTED) {
    const accepted = path.startsWith("accepted/");
    if (accepted ? !OURS.has(row.format ?? "") : THEIRS.test(path)) continue;
    const mayRefuse = !accepted || (row.either?.includes("refused") ?? false);
    it(`${mayRefuse ? (row.either ? "reads or refuses" : "refuses") : "reads"} ${path}`, async () => {
      const result = await attempt(path);
      if (result instanceof CheckpointError) expectRefusal(result, row, mayRefuse);
      else expectContent(result, row, accepted || (row.either?.includes("accepted") ?? false));
    });
  }
});

async function attempt(path: string): Promise<ReadTensors | CheckpointError> {
  try {
    return await readTensors(fixtureBytes(path), FORMATS, path);
  } catch (error) {
    if (error instanceof CheckpointError) return error;
    throw error;
  }
}

function expectRefusal(error: CheckpointError, row: FixtureRow, mayRefuse: boolean): void {
  if (!mayRefuse) throw error;
  expect(refusalClasses(row), error.message).to.include(error.class);
  expect(error.remedy).to.not.equal("");
}

function expectContent(result: ReadTensors, row: FixtureRow, mayAccept: boolean): void {
  expect(mayAccept, "was accepted").to.equal(true);
  if (row.format !== undefined) expect(result.format).to.equal(row.format);
  const optional = new Set(row.optional_tensors?.map(({ name }) => name));
  const unlisted = (name: string): boolean => (row.unlisted ?? []).some((each) => name === each || name.startsWith(`${each}.`));
  const tensors = result.tensors.filter(({ name }) => !optional.has(name) && !unlisted(name));
  expect(tensors).to.deep.equal((row.tensors ?? []).map(({ name, dtype, shape, sha256 }) => ({ name, dtype, shape, sha256 })));
  if (row.aliases !== undefined) expect(result.aliases).to.deep.equal(row.aliases);
  if (row.metadata_modules !== undefined) expect(versionsOf(result)).to.deep.equal(row.metadata_modules);
}

function versionsOf({ manifest }: ReadTensors): Record<string, unknown> {
  return Object.fromEntries(
    manifest.metadataModules.flatMap(([path, metadata]) => ("version" in metadata ? [[path, metadata["version"]]] : [])),
  );
}
