import { deflateRawSync } from "node:zlib";
import { inflateExactly } from "@rankcast/core/internal";
import { expect } from "chai";

describe("inflateExactly", () => {
  it("gives exactly the bytes, of any size", async () => {
    for (const size of [0, 1, 63, 64, 65, 16_384, 100_000, 3_000_000]) {
      const bytes = Buffer.alloc(size, "some words, ");
      const inflated = await inflateExactly(deflateRawSync(bytes), size);
      expect("bytes" in inflated && Buffer.compare(inflated.bytes, bytes)).to.equal(0);
    }
  });

  it("holds little more than the result", async () => {
    const size = 50 * 2 ** 20;
    const stored = deflateRawSync(Buffer.alloc(size));
    const before = process.memoryUsage().arrayBuffers;
    const inflated = await inflateExactly(stored, size);
    expect(process.memoryUsage().arrayBuffers - before).to.be.below(1.2 * size);
    expect("bytes" in inflated && inflated.bytes.length).to.equal(size);
  });

  it("says what is wrong", async () => {
    const stored = deflateRawSync(Buffer.from("some words"));
    const faults = [
      [stored, 9, "more than the 9 bytes"],
      [stored, 11, "inflates to 10 bytes"],
      [Buffer.concat([stored, Buffer.alloc(3)]), 10, "3 bytes follow"],
      [stored.subarray(0, 5), 10, "damaged"],
      [Buffer.alloc(20, 0xff), 10, "damaged"],
    ] as const;
    for (const [bytes, nbytes, text] of faults) {
      const outcome = await inflateExactly(bytes, nbytes);
      expect("fault" in outcome && outcome.fault).to.contain(text);
    }
  });
});
