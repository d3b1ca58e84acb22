import { closeSync, copyFileSync, mkdtempSync, openSync, renameSync, rmSync, statSync, utimesSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CheckpointError, loadCheckpoint, verifyCheckpoint } from "@rankcast/core";
import { expect } from "chai";

const FIXTURE = new URL("../../../fixtures/accepted/torch-zip/state_dict_t213.pt", import.meta.url).pathname;

describe("checksums are compared once", () => {
  let directory: string;
  let file: string;
  const options = () => ({ immutable: true, cacheDir: join(directory, "cache") });

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "rankcast-test-"));
    file = join(directory, "weights.pt");
    copyFileSync(FIXTURE, file);
    // A whole number of seconds survives being read and set again.
    utimesSync(file, 1_700_000_000, 1_700_000_000);
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  /** Flips one bit of a tensor's bytes (data/0 is at 1408 in this file) and leaves size, time and inode as they are when told. */
  function damage(keepTime: boolean): void {
    const { atime, mtime } = statSync(file);
    const fd = openSync(file, "r+");
    writeSync(fd, Buffer.from([0x55]), 0, 1, 1410);
    closeSync(fd);
    utimesSync(file, atime, keepTime ? mtime : new Date(mtime.getTime() + 10_000));
  }

  const outcome = async (load: () => Promise<unknown>): Promise<string> =>
    load().then(
      () => "loaded",
      (error: CheckpointError) => error.class,
    );

  it("an unchanged file is not read again just to verify it", async () => {
    await loadCheckpoint(file, options());
    damage(true);
    // Only a file that pretends to be unchanged can show that nobody looked.
    expect(await outcome(() => loadCheckpoint(file, options()))).to.equal("loaded");
  });

  it("a file with another time is compared again", async () => {
    await loadCheckpoint(file, options());
    damage(false);
    expect(await outcome(() => loadCheckpoint(file, options()))).to.equal("integrity");
  });

  it("another file of the same name, size and time is compared", async () => {
    await loadCheckpoint(file, options());
    const { atime, mtime } = statSync(file);
    damage(true);
    const other = join(directory, "other.pt");
    copyFileSync(file, other);
    renameSync(other, file);
    utimesSync(file, atime, mtime);
    expect(await outcome(() => loadCheckpoint(file, options()))).to.equal("integrity");
  });

  it("the same file under another name is compared", async () => {
    await loadCheckpoint(file, options());
    damage(true);
    renameSync(file, join(directory, "renamed.pt"));
    expect(await outcome(() => loadCheckpoint(join(directory, "renamed.pt"), options()))).to.equal("integrity");
  });

  it("a failed comparison is not remembered", async () => {
    damage(true);
    expect(await outcome(() => loadCheckpoint(file, options()))).to.equal("integrity");
    expect(await outcome(() => loadCheckpoint(file, options()))).to.equal("integrity");
  });

  it("verify always looks", async () => {
    await loadCheckpoint(file, options());
    damage(true);
    expect(await outcome(() => verifyCheckpoint(file, options()))).to.equal("integrity");
  });
});
