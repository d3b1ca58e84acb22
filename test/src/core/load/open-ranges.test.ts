/** What `openCheckpoint` asks of an HTTP server: headers and the tensor that is wanted, counted by the server. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { digestTensor, openCheckpoint, StateDict, saveSafetensors, saveTorch, Tensor } from "@rankcast/core";
import { expect } from "chai";
import { originServer } from "../../support/origin-server.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const KIB = 1024;
const TENSORS = 32;
const TENSOR_BYTES = 512 * KIB;
/** Small reads fetch blocks of this size. */
const BLOCK_BYTES = 64 * KIB;

describe("openCheckpoint over HTTP", () => {
  const server = originServer();
  const directory = temporaryDirectory();
  const stateDict = (): StateDict => {
    const made = new StateDict();
    for (let index = 0; index < TENSORS; index += 1) {
      const values = Float32Array.from({ length: TENSOR_BYTES / 4 }, (_, at) => at + index);
      made.set(`layer.${index}`, Tensor.from(values, [256, TENSOR_BYTES / 4 / 256]));
    }
    return made;
  };
  const serve = async (name: string): Promise<string> => {
    const path = join(directory(), name);
    await (name.endsWith(".pt") ? saveTorch(path, stateDict()) : saveSafetensors(path, stateDict()));
    return server().serve(`/${name}`, await readFile(path));
  };

  // A zip has its directory at the end and a header in front of every record; safetensors has everything at its beginning.
  for (const [name, headerBlocks] of [
    ["m.pt", TENSORS + 3],
    ["m.safetensors", 1],
  ] as const) {
    it(`${name}: headers, then only the bytes of the tensor that is wanted`, async () => {
      const url = await serve(name);
      const handle = await openCheckpoint(url, { cacheDir: join(directory(), "cache") });
      expect(handle.tensors).to.have.length(TENSORS);
      const opened = server().bodyBytes;
      expect(opened).to.be.at.most(headerBlocks * BLOCK_BYTES);

      const tensor = await handle.tensor("layer.7");
      expect(digestTensor(tensor)).to.equal(digestTensor(stateDict().get("layer.7") as Tensor));
      const read = server().bodyBytes - opened;
      expect(read).to.be.within(TENSOR_BYTES - BLOCK_BYTES, TENSOR_BYTES + 2 * BLOCK_BYTES);

      const rows = await handle.slice("layer.20", 100, 102);
      expect(rows.shape).to.deep.equal([2, TENSOR_BYTES / 4 / 256]);
      expect(rows.data).to.deep.equal(Float32Array.from({ length: (2 * TENSOR_BYTES) / 4 / 256 }, (_, at) => at + 100 * 512 + 20));
      expect(server().bodyBytes - opened - read).to.be.at.most(2 * BLOCK_BYTES);
      expect(server().bodyBytes).to.be.below((TENSORS * TENSOR_BYTES) / 4);
      await handle.close();
    });
  }
});
