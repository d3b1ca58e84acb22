/** Sequential writing: order, sizes, reuse of the caller's buffer. */
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { FileSink } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";
import { temporaryDirectory } from "../../support/temporary-directory.js";

const MIB = 2 ** 20;

describe("FileSink", () => {
  const directory = temporaryDirectory();

  it("writes pieces of any size in order, and takes none of them for its own", async () => {
    const size = fc.oneof(fc.nat(40), fc.constantFrom(0, MIB - 1, MIB, MIB + 1, MIB / 2, MIB / 2 + 1, 3 * MIB));
    await fc.assert(
      fc.asyncProperty(fc.array(size, { maxLength: 8 }), async (sizes) => {
        const path = join(directory(), "file");
        const file = await open(path, "w");
        const sink = new FileSink(file);
        const expected: Buffer[] = [];
        const piece = new Uint8Array(new SharedArrayBuffer(3 * MIB));
        for (const [index, length] of sizes.entries()) {
          piece.fill(index + 1);
          expected.push(Buffer.alloc(length, index + 1));
          await sink.write(piece.subarray(0, length));
          expect(sink.position).to.equal(expected.reduce((sum, each) => sum + each.length, 0));
          piece.fill(0);
        }
        await sink.flush();
        await sink.flush();
        await file.close();
        expect(Buffer.compare(await readFile(path), Buffer.concat(expected))).to.equal(0);
      }),
      { numRuns: 25 },
    );
  });

  it("stops between system calls when the signal says so", async () => {
    const file = await open(join(directory(), "file"), "w");
    const sink = new FileSink(file, AbortSignal.abort(new Error("stop")));
    await sink.write(Buffer.alloc(10));
    expect(await sink.flush().then(String, String)).to.equal("Error: stop");
    await file.close();
  });
});
