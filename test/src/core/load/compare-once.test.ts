import {
  closeSync,
  copyFileSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
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

  /** Lets the memory of the comparison believe that the file is still as it was then. */
  function forgeMemory(): void {
    const folder = join(directory, "cache", "verified");
    for (const name of readdirSync(folder)) {
      const memory = JSON.parse(readFileSync(join(folder, name), "utf8")) as { mark: { ctimeMs: number } };
      memory.mark.ctimeMs = statSync(file).ctimeMs;
      writeFileSync(join(folder, name), JSON.stringify(memory));
    }
  }

  it("an unchanged file is not read again just to verify it", async () => {
    await loadCheckpoint(file, options());
    damage(true);
    // Only a file of which the memory is wrong can show that nobody looked.
    forgeMemory();
    expect(await outcome(() => loadCheckpoint(file, options()))).to.equal("loaded");
  });

  it("a file that was changed in place, with its time set back, is compared again", async () => {
    await loadCheckpoint(file, options());
    damage(true);
    expect(await outcome(() => loadCheckpoint(file, options()))).to.equal("integrity");
  });

  it("the same content with a new time is compared again, and remembered with that", async () => {
    await loadCheckpoint(file, options());
    const before = readdirSync(join(directory, "cache", "verified"));
    utimesSync(file, 1_700_000_100, 1_700_000_100);
    const marked = (): number => {
      const memory = readFileSync(join(directory, "cache", "verified", before[0] ?? ""), "utf8");
      return (JSON.parse(memory) as { mark: { mtimeMs: number } }).mark.mtimeMs;
    };
    expect(marked()).to.equal(1_700_000_000_000);
    await loadCheckpoint(file, options());
    expect(marked(), "compared and remembered anew").to.equal(1_700_000_100_000);
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
