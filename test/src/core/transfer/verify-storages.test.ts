import { randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";
import { Storage } from "@rankcast/core";
import { type StorageDescriptor, verifyStorages } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";

const bytes = randomBytes(9 * 2 ** 20);
const target = new Storage(bytes.buffer, bytes.byteOffset, bytes.length);

function mapped(checksum: number | null, parts: Partial<StorageDescriptor> = {}): { storage: StorageDescriptor; target: Storage } {
  const extent = {
    type: "range",
    source: 0,
    offset: 64,
    storedBytes: bytes.length,
    encoding: "stored",
    crc32: checksum,
    record: "a/data/0",
  } as const;
  return {
    storage: { nbytes: bytes.length, pieces: [{ at: 0, nbytes: bytes.length, extent }], swapBytes: 1, savedDevice: "cpu", ...parts },
    target,
  };
}

describe("verifyStorages", () => {
  it("looks at all bytes that have a checksum", async () => {
    const seen: number[] = [];
    const stats = await verifyStorages([mapped(crc32(bytes)), mapped(null), mapped(0, { meta: true })], [{ name: "m.pt" }], {
      onProgress: (done) => seen.push(done),
    });
    expect(stats).to.include({ bytesNeeded: 2 * bytes.length, bytesRead: bytes.length });
    expect(seen.length).to.equal(1);
  });

  it("refuses bytes that differ, naming file and record", async () => {
    const error = await expectError("RANKCAST_CHECKSUM", verifyStorages([mapped(1)], [{ name: "m.pt" }]));
    expect(error.details).to.include({ file: "m.pt", record: "a/data/0", offset: 64 });
  });

  it("can be cancelled", async () => {
    const thrown: unknown = await verifyStorages([mapped(1)], [], { signal: AbortSignal.abort() }).catch((error: unknown) => error);
    expect(thrown).to.have.property("name", "AbortError");
  });
});
