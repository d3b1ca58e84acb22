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
    const size = fc.oneof(fc.nat(40), fc.constantFrom(0, MIB - 1, MIB, MIB + 1, MIB / 2, MIB / 2 + 1, 2 * MIB - 1, 2 * MIB, 3 * MIB));
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

  it("writes begin at multiples of 2 MiB and end there, but for the last one", async () => {
    const path = join(directory(), "file");
    const file = await open(path, "w");
    const written: number[] = [];
    const write = file.write.bind(file) as (...given: unknown[]) => Promise<{ bytesWritten: number }>;
    Object.assign(file, {
      async write(...given: unknown[]) {
        const done = await write(...given);
        written.push(done.bytesWritten);
        return done;
      },
    });
    const sink = new FileSink(file);
    const pieces = [64, 5 * MIB, 16, 16 * MIB, MIB - 80, 4 * MIB, 1000].map((length, index) => Buffer.alloc(length, index + 1));
    for (const piece of pieces) await sink.write(piece);
    await sink.flush();
    await file.close();
    expect(written).to.deep.equal([2, 2, 2, 14, 2, 4].map((each) => each * MIB).concat(1000));
    expect(Buffer.compare(await readFile(path), Buffer.concat(pieces))).to.equal(0);
  });

  it("stops between system calls when the signal says so", async () => {
    const file = await open(join(directory(), "file"), "w");
    const sink = new FileSink(file, AbortSignal.abort(new Error("stop")));
    await sink.write(Buffer.alloc(10));
    expect(await sink.flush().then(String, String)).to.equal("Error: stop");
    await file.close();
  });
});
