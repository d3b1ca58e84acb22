import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { appendFile, rename, symlink, truncate, utimes, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { homedir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { openFile, readBytes, resolveLocalPath } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

describe("openFile", () => {
  const directory = temporaryDirectory();
  const write = async (bytes: Uint8Array | string, name = "a.bin"): Promise<string> => {
    const path = join(directory(), name);
    await writeFile(path, bytes);
    return path;
  };

  it("reads any range, into private and shared memory", async () => {
    const bytes = Uint8Array.from({ length: 1000 }, (_, index) => index % 251);
    const source = await openFile(await write(bytes));
    expect(source.sizeBytes).to.equal(1000);
    expect(await readBytes(source, 0, 1000)).to.deep.equal(bytes);
    const shared = new Uint8Array(new SharedArrayBuffer(64), 8, 20);
    await source.readInto(shared, 333);
    expect([...shared]).to.deep.equal([...bytes.subarray(333, 353)]);
    await source.readInto(new Uint8Array(0), 1000);
    await source.close();
  });

  it("reads more than one system call can return", async () => {
    const path = await write("");
    await truncate(path, 150 * 2 ** 20);
    await appendFile(path, "end");
    const source = await openFile(path);
    const all = await readBytes(source, 1, source.sizeBytes - 1);
    expect(Buffer.from(all.subarray(-3)).toString()).to.equal("end");
    await source.close();
  });

  it("says that a read past the end is truncated", async () => {
    const source = await openFile(await write("12345"), { immutable: true });
    const error = await expectError("RANKCAST_SOURCE_TRUNCATED", readBytes(source, 3, 4));
    expect(error.class).to.equal("truncated");
    expect(error.details).to.include({ offset: 3, expected: 4, found: 2, sizeBytes: 5 });
    await source.close();
  });

  it("81: notices a write in place, a cut and a growth", async () => {
    for (const change of [
      (path: string) => utimes(path, 1, 1),
      (path: string) => truncate(path, 3),
      (path: string) => appendFile(path, "more"),
    ]) {
      const path = await write("0123456789");
      const source = await openFile(path);
      await change(path);
      const error = await expectError("RANKCAST_SOURCE_CHANGED", readBytes(source, 0, 10));
      expect(error.details["expected"]).to.include({ sizeBytes: 10 });
      await source.close();
    }
  });

  it("keeps reading the opened file when its name is given to another", async () => {
    const source = await openFile(await write("old"));
    await rename(await write("new", "b.bin"), join(directory(), "a.bin"));
    expect(Buffer.from(await readBytes(source, 0, 3)).toString()).to.equal("old");
    await source.close();
  });

  it("what is not there can not be found, in the text of load_from_local", async () => {
    for (const path of [join(directory(), "none.pt"), "foo\0bar"]) {
      const error = await expectError("RANKCAST_NOT_FOUND", openFile(path));
      expect(error.class).to.equal("not-found");
      expect(error.message).to.equal(`${path.replace("\0", "\\u0000")} can not be found.`);
    }
  });

  it("says what it is that is no regular file, and opens none of it", async () => {
    const fifo = join(directory(), "fifo");
    execFileSync("mkfifo", [fifo]);
    await symlink(fifo, join(directory(), "link"));
    const server = createServer().listen(join(directory(), "socket"));
    await once(server, "listening");
    const kinds = { fifo: "a FIFO (named pipe)", link: "a FIFO (named pipe)", socket: "a socket", ".": "a directory" };
    const cases = [...Object.entries(kinds).map(([name, kind]) => [join(directory(), name), kind]), ["/dev/zero", "a character device"]];
    try {
      for (const [path = "", kind] of cases) {
        const error = await expectError("RANKCAST_FILE_KIND", openFile(path));
        expect(error.class).to.equal("not-found");
        expect(error.message).to.equal(`${path} can not be found as a regular file: it is ${kind}`);
        expect(error.details).to.include({ file: path, found: kind });
      }
    } finally {
      server.close();
    }
  });

  it("says that a link leads nowhere", async () => {
    await symlink("../blobs/1234", join(directory(), "dangling.pt"));
    const error = await expectError("RANKCAST_NOT_FOUND", openFile(join(directory(), "dangling.pt")));
    expect(error.message).to.contain('symbolic link to "../blobs/1234"');
    expect(error.details).to.include({ link: "../blobs/1234" });
  });

  it("says when the system refuses", async () => {
    await symlink("loop", join(directory(), "loop"));
    const error = await expectError("RANKCAST_FILE_UNREADABLE", openFile(join(directory(), "loop")));
    expect(error.details).to.include({ systemError: "ELOOP" });
  });

  it("stops when the signal is aborted", async () => {
    const source = await openFile(await write("12345"));
    const caught = await source.readInto(new Uint8Array(5), 0, AbortSignal.abort()).catch((error: unknown) => error);
    expect(caught).to.have.property("name", "AbortError");
    await source.close();
  });

  it("takes file URLs and ~", async () => {
    const path = await write("x", "with space#.pt");
    const source = await openFile(pathToFileURL(path).href);
    expect(source.file).to.deep.equal({ path, immutable: false });
    await source.close();
    expect(resolveLocalPath("~/a/b")).to.equal(`${homedir()}/a/b`);
    expect(resolveLocalPath("~", "/h")).to.equal("/h");
    expect(resolveLocalPath("~other/a")).to.equal("~other/a");
    expect(resolveLocalPath("rel/a~")).to.equal("rel/a~");
    await expectError("RANKCAST_USAGE", () => resolveLocalPath("file://host.example/a"));
    await expectError("RANKCAST_USAGE", () => resolveLocalPath("file:///a%2fb"));
  });
});
