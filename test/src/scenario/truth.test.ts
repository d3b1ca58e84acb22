/** What inspect prints and what replicas hold is what torch says is in the file. */
import { expect } from "chai";
import { commandSandbox } from "../support/command-sandbox.js";
import { EXPECTED, FIXTURES, type FixtureRow } from "../support/fixtures.js";

/** One file of every family a user meets first; conformance of every fixture is checked in core, without processes. */
const INSPECTED = [
  "accepted/torch-zip/state_dict_t113.pt",
  "accepted/torch-zip/state_dict_t213.pt",
  "accepted/torch-zip/tied_weights_t213.pt",
  "accepted/torch-zip/shared_views_t213.pt",
  "accepted/torch-zip/dtype_bfloat16_t213.pt",
  "accepted/torch-zip/whole_module_t213.pt",
  "accepted/torch-zip/mmengine_like.pth",
  "accepted/torch-zip/weird_names.pt",
  "accepted/torch-legacy/checkpoint_t213.pt",
  "accepted/safetensors/all_common_dtypes.safetensors",
  "accepted/safetensors/unicode_names.safetensors",
];

interface InspectDocument {
  readonly format: string;
  readonly tensors: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly shape: readonly number[];
    readonly sha256?: string;
  }[];
  readonly aliases: readonly (readonly string[])[];
  readonly metadataModules: Readonly<Record<string, number>>;
}

describe("scenario: what is in the file", () => {
  const sandbox = commandSandbox();

  for (const path of INSPECTED) {
    it(`inspect --digest of ${path} says what torch says`, async () => {
      const row = EXPECTED.get(path) as FixtureRow;
      const { exitCode, stdout, stderr } = await sandbox().run(["inspect", FIXTURES + path, "--json", "--digest"]);
      expect(exitCode, stderr).to.equal(0);
      const found = JSON.parse(stdout) as InspectDocument;
      expect(found.format).to.equal(row.format);
      const optional = new Set([...(row.optional_tensors ?? []).map(({ name }) => name), ...(row.unlisted ?? [])]);
      const listed = found.tensors.filter(({ name }) => !optional.has(name));
      expect(listed.map(({ name, dtype, shape, sha256 = null }) => ({ name, dtype, shape, sha256 }))).to.deep.equal(row.tensors);
      expect(found.aliases.map((names) => [...names].sort())).to.have.deep.members((row.aliases ?? []).map((names) => [...names].sort()));
      if (row.metadata_modules) expect(found.metadataModules).to.deep.equal(row.metadata_modules);
    });
  }

  it("inspect --state-dict names tensors as a load would", async () => {
    const path = `${FIXTURES}accepted/torch-legacy/checkpoint_t213.pt`;
    const all = await inspect(["inspect", path, "--json"]);
    const selected = await inspect(["inspect", path, "--json", "--state-dict"]);
    const inside = all.tensors.filter(({ name }) => name.startsWith("state_dict."));
    expect(inside).to.not.have.length(0);
    expect(inside.length).to.be.below(all.tensors.length);
    expect(selected.tensors.map(({ name }) => `state_dict.${name}`)).to.deep.equal(inside.map(({ name }) => name));
  });

  async function inspect(args: readonly string[]): Promise<InspectDocument> {
    const { exitCode, stdout, stderr } = await sandbox().run(args);
    expect(exitCode, stderr).to.equal(0);
    return JSON.parse(stdout) as InspectDocument;
  }
});
