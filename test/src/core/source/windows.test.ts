import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  addReadStats,
  countingSource,
  directorySiblings,
  memorySource,
  newReadStats,
  noSiblings,
  openLocal,
  readBytes,
  sliceSource,
} from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

describe("memorySource and sliceSource", () => {
  const source = memorySource(Buffer.from("0123456789"));

  it("reads inside and refuses outside", async () => {
    expect(text(await readBytes(source, 2, 3))).to.equal("234");
    await expectError("RANKCAST_SOURCE_TRUNCATED", readBytes(source, 8, 3));
    await expectError("RANKCAST_SOURCE_TRUNCATED", readBytes(source, 80, 1));
  });

  it("keeps a window's reads inside the window", async () => {
    const inner = sliceSource(sliceSource(source, 2, 6), 1, 4);
    expect(inner.sizeBytes).to.equal(4);
    expect(text(await readBytes(inner, 0, 4))).to.equal("3456");
    await expectError("RANKCAST_SOURCE_TRUNCATED", readBytes(inner, 1, 4));
    await expectError("RANKCAST_SOURCE_TRUNCATED", readBytes(inner, -1, 1));
    await expectError("RANKCAST_SOURCE_TRUNCATED", () => sliceSource(source, 8, 3));
  });

  it("counts what was read, and failed reads as requests only", async () => {
    const stats = newReadStats();
    const counted = countingSource(source, stats);
    await readBytes(counted, 0, 4);
    await readBytes(counted, 9, 4).catch(() => undefined);
    expect(addReadStats(newReadStats(), stats)).to.deep.equal({ requests: 2, bytesNeeded: 4, bytesRead: 4, retries: 0, cacheHits: 0 });
  });
});

describe("directorySiblings", () => {
  const directory = temporaryDirectory();

  it("lists files one directory deep, through links, sorted", async () => {
    for (const folder of ["sub/deep", "empty"]) await mkdir(join(directory(), folder), { recursive: true });
    for (const file of ["b", "a", ".metadata", "sub/c", "sub/deep/d"]) await writeFile(join(directory(), file), file);
    await symlink("../sub/c", join(directory(), "empty/link"));
    await symlink("nowhere", join(directory(), "dangling"));
    const siblings = directorySiblings(directory());
    expect(await siblings.list()).to.deep.equal([".metadata", "a", "b", "empty/link", "sub/c"]);
    const first = await siblings.open("empty/link");
    expect(await siblings.open("empty/link")).to.equal(first);
    expect(text(await readBytes(first, 0, first.sizeBytes))).to.equal("sub/c");
    await siblings.close();
  });

  it("refuses names that could leave the directory", async () => {
    const siblings = directorySiblings(directory());
    for (const name of ["", "/etc/passwd", "../x", "a/../../x", "./x", "a//b", "a/", "C:\\x", "C:x", "a\\b", "a\0"]) {
      const error = await expectError("RANKCAST_SIBLING_PATH", siblings.open(name));
      expect(error.class).to.equal("unsafe-path");
    }
    await expectError("RANKCAST_NOT_FOUND", siblings.open("later"));
    await writeFile(join(directory(), "later"), "now");
    expect((await siblings.open("later")).sizeBytes).to.equal(3);
    await siblings.close();
    await expectError("RANKCAST_NOT_FOUND", noSiblings("x").open("y"));
  });
});

describe("openLocal", () => {
  const directory = temporaryDirectory();

  it("opens a file with its neighbours and a directory without an entry", async () => {
    await writeFile(join(directory(), "a.json"), "{}");
    await writeFile(join(directory(), "b.bin"), "b");
    const file = await openLocal(join(directory(), "a.json"), { immutable: true });
    expect(file.entry?.file).to.deep.equal({ path: join(directory(), "a.json"), immutable: true });
    expect((await file.siblings.open("b.bin")).file?.immutable).to.equal(true);
    await file.close();
    const folder = await openLocal(directory());
    expect(folder.entry).to.equal(null);
    expect(await folder.siblings.list()).to.deep.equal(["a.json", "b.bin"]);
    await folder.close();
    await expectError("RANKCAST_NOT_FOUND", openLocal(join(directory(), "none")));
  });
});
