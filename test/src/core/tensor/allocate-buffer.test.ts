/** Memory that the process can not have: a typed error, not a bare RangeError. */
import { Storage } from "@rankcast/core";
import { createWrittenSegment } from "@rankcast/core/internal";
import { expect } from "chai";

/** 32 TiB: more than any machine hands out. */
const TOO_MUCH_BYTES = 2 ** 45;

describe("core: memory that the process gets not", () => {
  for (const shared of [false, true]) {
    it(`a storage${shared ? " that threads share" : ""}`, () => {
      expect(() => Storage.allocate(TOO_MUCH_BYTES, { shared }))
        .to.throw()
        .with.property("code", "RANKCAST_MEMORY_FULL");
    });
  }

  it("a segment without mapping", () => {
    // More than a file may have in /dev/shm or any temporary directory.
    expect(() => createWrittenSegment(Number.MAX_SAFE_INTEGER, null))
      .to.throw()
      .with.property("code", "RANKCAST_MEMORY_FULL");
  });
});
