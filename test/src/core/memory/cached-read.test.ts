/** Small reads of files that lie in the page cache are done at once. */
import { closeSync, openSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openFile } from "@rankcast/core/internal";
import { nativeMemory } from "@rankcast/core/runtime";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

/** `TMPFS_MAGIC` of `linux/magic.h`: it knows no reads that do not wait. */
const TMPFS = 0x01021994;

describe("memory: cached reads", () => {
  const directory = temporaryDirectory();
  const content = Uint8Array.from({ length: 100_000 }, (_, index) => index % 251);
  let path = "";
  beforeEach(function () {
    path = join(directory(), "file");
    writeFileSync(path, content);
    if (process.platform !== "linux" || nativeMemory(false) === null || statfsSync(path).type === TMPFS) this.skip();
  });

  const readCached = (offset: number, nbytes: number): { count: number; bytes: Uint8Array } => {
    const bytes = new Uint8Array(nbytes);
    const fd = openSync(path, "r");
    try {
      return { count: nativeMemory(false)?.readCached(fd, bytes, offset) ?? 0, bytes };
    } finally {
      closeSync(fd);
    }
  };

  it("gives what is there, as far as the file goes, and nothing for an error", () => {
    expect(readCached(1000, 500)).to.deep.equal({ count: 500, bytes: content.slice(1000, 1500) });
    expect(readCached(99_990, 20).count).to.equal(10);
    expect(readCached(200_000, 20).count).to.equal(0);
    expect(nativeMemory(false)?.readCached(-1, new Uint8Array(8), 0)).to.equal(0);
    const fd = openSync("/dev/null", "r");
    expect(nativeMemory(false)?.readCached(fd, new Uint8Array(8), 0)).to.equal(0);
    closeSync(fd);
  });

  it("files are read so in small pieces; ends and closed files are refused as ever", async () => {
    const source = await openFile(path, { immutable: true });
    const [small, large] = [new Uint8Array(65_536), new Uint8Array(65_537)];
    const reading = source.readInto(small, 7);
    // Before anything was waited for.
    expect(small).to.deep.equal(content.slice(7, 7 + small.length));
    await reading;
    await source.readInto(large, 7);
    expect(large).to.deep.equal(content.slice(7, 7 + large.length));
    await expectError("RANKCAST_SOURCE_TRUNCATED", source.readInto(new Uint8Array(20), 99_990));
    await source.close();
    await expectError("RANKCAST_FILE_UNREADABLE", source.readInto(new Uint8Array(20), 0));
  });
});
