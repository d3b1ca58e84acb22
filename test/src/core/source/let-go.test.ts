/** Memory that is let go is free without a full collection, and only memory that is nobody else's. */
import { letGo } from "@rankcast/core/internal";
import { expect } from "chai";

const MIB = 2 ** 20;

describe("letGo", () => {
  it("empties an array of its own", () => {
    const bytes = new Uint8Array(MIB).fill(1);
    letGo(bytes);
    expect(bytes.length).to.equal(0);
  });

  it("leaves parts of larger buffers, small arrays and shared memory as they are", () => {
    const whole = new Uint8Array(MIB).fill(1);
    const shared = new Uint8Array(new SharedArrayBuffer(MIB)).fill(1);
    const small = new Uint8Array(1000).fill(1);
    for (const bytes of [whole.subarray(1), small, shared]) {
      letGo(bytes);
      expect(bytes.at(-1)).to.equal(1);
    }
  });
});
