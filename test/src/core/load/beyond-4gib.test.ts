/** Files and tensors beyond 4 GiB: sparse files, so that they cost no disk. */
import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { CheckpointError, inspectCheckpoint, loadCheckpoint, openCheckpoint } from "@rankcast/core";
import { nativeMemory } from "@rankcast/core/runtime";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";

const GIB = 2 ** 30;

describe("load: beyond 4 GiB", function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();

  /** A safetensors file whose tensors are zeros but for the first and the last byte of each. */
  function sparse(name: string, tensors: readonly (readonly [name: string, nbytes: number])[]): string {
    const header: Record<string, unknown> = {};
    let end = 0;
    for (const [key, nbytes] of tensors) {
      header[key] = { dtype: "U8", shape: [nbytes], data_offsets: [end, end + nbytes] };
      end += nbytes;
    }
    const text = Buffer.from(JSON.stringify(header).padEnd(1016));
    const path = join(directory(), name);
    const fd = openSync(path, "wx");
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    writeSync(fd, Buffer.concat([length, text]));
    const base = 8 + text.length;
    ftruncateSync(fd, base + end);
    let at = base;
    for (const [index, [, nbytes]] of tensors.entries()) {
      writeSync(fd, Uint8Array.of(index + 1), 0, 1, at);
      writeSync(fd, Uint8Array.of(index + 101), 0, 1, at + nbytes - 1);
      at += nbytes;
    }
    closeSync(fd);
    return path;
  }

  it("a file of 6 GiB is mapped in windows; every tensor shows its own bytes", async function () {
    if (nativeMemory(false) === null) {
      console.log("      skipped: memory cannot be mapped here");
      this.skip();
    }
    const path = sparse(
      "six.safetensors",
      [0, 1, 2, 3].map((index) => [`t${index}`, 1.5 * GIB] as const),
    );
    const checkpoint = await loadCheckpoint(path, { immutable: true, verify: false });
    for (let index = 0; index < 4; index += 1) {
      const tensor = checkpoint.stateDict.get(`t${index}`);
      expect(tensor?.get(0), `t${index}`).to.equal(index + 1);
      expect(tensor?.get(1.5 * GIB - 1)).to.equal(index + 101);
      expect(tensor?.storage.bytes(1.5 * GIB - 1, 1)[0]).to.equal(index + 101);
    }
    await checkpoint.close();
  });

  it("a tensor beyond what one view can show is described, and refused with the reason when it is loaded", async () => {
    const path = sparse("large.safetensors", [
      ["small", 16],
      ["large", 4.5 * GIB],
    ]);
    const { tensors, bytes } = await inspectCheckpoint(path);
    expect(tensors.map(({ name, nbytes }) => [name, nbytes])).to.deep.equal([
      ["small", 16],
      ["large", 4.5 * GIB],
    ]);
    expect(bytes).to.be.above(4.5 * GIB);
    const error = await expectError("RANKCAST_STORAGE_TOO_LARGE", loadCheckpoint(path, { immutable: true }));
    expect(error).to.be.instanceOf(CheckpointError).and.to.include({ class: "limit" });
    expect(error.message).to.contain(String(4.5 * GIB));
    expect(error.remedy).to.not.equal("");
  });

  it("its parts can be read all the same", async () => {
    const path = sparse("parts.safetensors", [
      ["small", 16],
      ["large", 4.5 * GIB],
    ]);
    const handle = await openCheckpoint(path);
    const end = await handle.slice("large", 4.5 * GIB - 4, 4.5 * GIB);
    expect([...(end.data as Uint8Array)]).to.deep.equal([0, 0, 0, 102]);
    expect((await handle.tensor("small")).get(15)).to.equal(101);
    await handle.close();
  });
});
