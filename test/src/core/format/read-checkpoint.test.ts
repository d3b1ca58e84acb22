import { DEFAULT_LIMITS } from "@rankcast/core";
import { memorySource, noSiblings, readCheckpoint, resolved, type Siblings } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { fixtureBytes } from "../../support/fixtures.ts";

const options = { limits: DEFAULT_LIMITS };
const file = (bytes: Uint8Array, name = "model.pt") => resolved(name, memorySource(bytes, name), noSiblings(name));

function folder(files: Readonly<Record<string, Uint8Array>>): Siblings {
  const names = new Map(Object.entries(files));
  return {
    list: async () => [...names.keys()].sort(),
    open: async (name) => memorySource(names.get(name) ?? new Uint8Array(), name),
    async close() {},
  };
}

describe("readCheckpoint", () => {
  it("decides by structure, not by name", async () => {
    const tree = await readCheckpoint(file(fixtureBytes("accepted/safetensors/basic.safetensors"), "model.pt"), options);
    expect(tree.format).to.equal("safetensors");
    expect((await readCheckpoint(file(fixtureBytes("accepted/npz/stored.npz")), options)).format).to.equal("npz");
  });

  it("says what a file is that is no checkpoint", async () => {
    const pointer = file(fixtureBytes("refused/unknown-format/git_lfs_pointer.bin"), "big.bin");
    const error = await expectError("RANKCAST_UNKNOWN_FORMAT", readCheckpoint(pointer, options));
    expect(error.message).to.equal("big.bin: no checkpoint, but a Git LFS pointer, not the file it points to");
    await expectError("RANKCAST_TRUNCATED", readCheckpoint(file(new Uint8Array()), options));
  });

  it("finds the entry of a directory, and its siblings one level down", async () => {
    const bytes = fixtureBytes("accepted/safetensors/basic.safetensors");
    for (const name of ["model.safetensors", "unet/model.safetensors"]) {
      const files = { [name]: bytes, "model_index.json": new Uint8Array() };
      const tree = await readCheckpoint(resolved("/models/x", null, folder(files)), options);
      expect([tree.format, tree.sources[0]?.name]).to.deep.equal(["safetensors", name]);
    }
    await expectError("RANKCAST_ENTRY_NONE", readCheckpoint(resolved("/models/x", null, folder({})), options));
    const unlisted = { ...folder({}), list: async () => null };
    const error = await expectError("RANKCAST_ENTRY_NONE", readCheckpoint(resolved("https://host/x", null, unlisted), options));
    expect(error.remedy).to.contain("entry file");
  });
});
