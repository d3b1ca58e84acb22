import { utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DEFAULT_LIMITS, Storage } from "@rankcast/core";
import { buildManifest, openLocal, readCheckpoint, transferStorages } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { fixtureBytes } from "../../support/fixtures.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const limits = DEFAULT_LIMITS;

describe("a file that changes between its header and its tensors", () => {
  const directory = temporaryDirectory();

  for (const fixture of ["safetensors/basic.safetensors", "torch-zip/no_crc.pt", "torch-legacy/minimal.pt"]) {
    it(`${fixture}: is refused`, async () => {
      const path = join(directory(), "last.ckpt");
      const bytes = fixtureBytes(`accepted/${fixture}`);
      await writeFile(path, bytes);
      await utimes(path, 1_000_000, 1_000_000);
      const resolved = await openLocal(path);
      try {
        const tree = await readCheckpoint(resolved, { limits });
        const manifest = buildManifest(tree, { limits, stateDict: true });
        // The trainer saves again, in place, with the same size.
        await writeFile(path, Buffer.from(bytes).fill(0, bytes.length - 8));
        const reads = manifest.storages.map((storage) => ({ storage, target: Storage.allocate(storage.nbytes) }));
        const error = await expectError("RANKCAST_SOURCE_CHANGED", transferStorages(reads, tree.sources, { limits, verify: true }));
        expect(error.class).to.equal("integrity");
      } finally {
        await resolved.close();
      }
    });
  }
});
