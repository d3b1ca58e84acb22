/** What mapping a gigabyte costs the engine, and what its kinds of buffers are good for. */
import { spawnSync } from "node:child_process";
import { closeSync, openSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { type MappedBytes, nativeMemory, rehearsePageReads } from "@rankcast/core/runtime";
import { expect } from "chai";
import { temporaryDirectory } from "../../support/temporary-directory.js";

const GIB = 2 ** 30;
const MIB = 2 ** 20;

describe("memory: private mappings", function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();
  beforeEach(function () {
    if (process.platform !== "linux" || nativeMemory(false) === null) this.skip();
  });

  const file = (nbytes: number): string => {
    const path = join(directory(), "file");
    writeFileSync(path, new Uint8Array(64).fill(7));
    truncateSync(path, nbytes);
    return path;
  };
  const mapped = (path: string, nbytes: number): MappedBytes => {
    const fd = openSync(path, "r");
    try {
      const mapping = nativeMemory(false)?.mapPrivate(fd, 0, nbytes);
      if (!mapping) throw new Error("nothing can be mapped here");
      return mapping;
    } finally {
      closeSync(fd);
    }
  };

  for (const flags of [[], ["--jitless"]]) {
    it(`no collection before settling, the bytes after it, zeros after unmapping (${flags.join(" ") || "as always"})`, () => {
      const program = fileURLToPath(new URL("programs/map-quietly.js", import.meta.url));
      const nbytes = flags.length === 0 ? GIB : MIB;
      const { status, stdout, stderr } = spawnSync(process.execPath, ["--trace-gc", ...flags, program, file(nbytes)], { encoding: "utf8" });
      expect(status, stderr).to.equal(0);
      const [before = "", after = ""] = stdout.split(/^settling \d+$/m);
      expect(before).not.to.match(/Mark-Compact/);
      if (flags.length === 0) expect(after).to.match(/Mark-Compact/);
      expect(after).to.match(/^shows 7$/m);
      expect(after).to.match(/^beside it 7$/m);
      expect(after).to.match(/^unmapped 0$/m);
    });
  }

  it("what was unmapped is not counted afterwards", () => {
    const program = fileURLToPath(new URL("programs/map-quietly.js", import.meta.url));
    const { status, stdout, stderr } = spawnSync(process.execPath, ["--trace-gc", program, file(GIB), "unmapped"], { encoding: "utf8" });
    expect(status, stderr).to.equal(0);
    expect(stdout).to.match(/^shows 0$/m);
    expect(stdout).not.to.match(/Mark-Compact/);
  });

  it("a large file lies where large pages fit", () => {
    const { buffer, byteOffset } = mapped(file(8 * MIB), 8 * MIB);
    expect(buffer).to.be.instanceOf(SharedArrayBuffer);
    const line = readFileSync("/proc/self/maps", "utf8")
      .split("\n")
      .find((each) => each.includes(directory()));
    expect(Number(BigInt(`0x${line?.split("-")[0]}`) % BigInt(2 * MIB))).to.equal(0);
    expect(new Uint8Array(buffer, byteOffset, 1)[0]).to.equal(7);
  });

  it("a plain view shows the same bytes, and is for mapped ones only", () => {
    const native = nativeMemory(false);
    const { buffer, byteOffset } = mapped(file(MIB), MIB);
    const view = native?.plainView(buffer);
    expect(view?.buffer).to.be.instanceOf(ArrayBuffer);
    new Uint8Array(buffer, byteOffset, 1)[0] = 9;
    expect(new Uint8Array(view?.buffer ?? new ArrayBuffer(1))[0]).to.equal(9);
    expect([native?.isMapped(buffer), native?.isMapped(new SharedArrayBuffer(8)), native?.isMapped(null)]).to.deep.equal([
      true,
      false,
      false,
    ]);
    expect(native?.plainView(new SharedArrayBuffer(8))).to.equal(null);
    expect(() => native?.forgetWrites(new SharedArrayBuffer(8))).to.throw("MADV_DONTNEED");
  });

  it("pages are mapped in one call; of a file that became shorter it says so", () => {
    const path = file(8 * MIB);
    const { buffer, byteOffset } = mapped(path, 8 * MIB);
    const resident = (): number => {
      const [, entry = ""] = readFileSync("/proc/self/smaps", "utf8").split(path);
      return Number(/^Rss:\s+(\d+) kB/m.exec(entry)?.[1]) * 1024;
    };
    const bytes = new Uint8Array(buffer, byteOffset + 3 * MIB + 100, 5 * MIB - 100);
    expect(resident()).to.equal(0);
    // Before Linux 5.14 there is no such call, and nothing has happened.
    const done = nativeMemory(false)?.populateForReading(bytes);
    expect(resident()).to.be.at.least(done ? 5 * MIB : 0);
    expect(bytes[0]).to.equal(0);
    truncateSync(path, 4 * MIB);
    if (done) expect(() => nativeMemory(false)?.populateForReading(bytes)).to.throw("MADV_POPULATE_READ");
  });

  it("large mappings start no compiler once reading was rehearsed", () => {
    const program = fileURLToPath(new URL("programs/read-rehearsed.js", import.meta.url));
    const { status, stdout, stderr } = spawnSync(process.execPath, ["--trace-wasm-compilation-times", program, file(GIB)], {
      encoding: "utf8",
    });
    expect(status, stderr).to.equal(0);
    const [before = "", after = ""] = stdout.split(/^rehearsed$/m);
    expect(before).to.match(/turbofan/i);
    expect(after).not.to.match(/turbofan/i);
    expect(after).to.match(/^read 7$/m);
  });

  it("a byte of every page is read, of the first and the last one too", () => {
    rehearsePageReads();
    const path = file(8 * MIB);
    const native = nativeMemory(false);
    const { buffer, byteOffset } = mapped(path, 8 * MIB);
    const pageBytes = 4096;
    for (const page of [4, 5, 6, 7]) new Uint8Array(buffer, byteOffset + page * pageBytes, 1)[0] = 10 ** (page - 4) % 251;
    const sum = (begin: number, nbytes: number): number | null | undefined =>
      native?.readPages(new Uint8Array(buffer, byteOffset + begin, nbytes));
    expect(sum(4 * pageBytes, 4 * pageBytes)).to.equal(1 + 10 + 100 + (1000 % 251));
    expect(sum(5 * pageBytes, pageBytes)).to.equal(10);
    // 200 bytes that lie on two pages.
    expect(sum(6 * pageBytes - 100, 200)).to.equal(10 + 100);
    expect(sum(6 * pageBytes - 1, 1)).to.equal(10);
    expect(sum(0, 8 * MIB)).to.equal(7 + 1 + 10 + 100 + (1000 % 251));
    // More than one turn of the loop reads, and a rest.
    new Uint8Array(buffer, byteOffset + 34 * pageBytes, 1)[0] = 3;
    expect(sum(4 * pageBytes, 30 * pageBytes)).to.equal(1 + 10 + 100 + (1000 % 251));
    expect(sum(4 * pageBytes, 31 * pageBytes)).to.equal(1 + 10 + 100 + (1000 % 251) + 3);
    expect(native?.readPages(new Uint8Array(buffer, byteOffset, 0))).to.equal(null);
    expect(native?.readPages(new Uint8Array(8))).to.equal(null);
  });

  it("a thread that ends gives its mappings back", async () => {
    const path = file(MIB);
    const count = (): number => readFileSync("/proc/self/maps", "utf8").split(path).length - 1;
    const before = count();
    const door = import.meta.resolve("@rankcast/core/runtime");
    const worker = new Worker(
      `const { workerData } = require("node:worker_threads"); const fs = require("node:fs");
       import(workerData.door).then(({ nativeMemory }) => {
         const fd = fs.openSync(workerData.path, "r");
         globalThis.kept = Array.from({ length: 5 }, () => nativeMemory(false).mapPrivate(fd, 0, ${MIB}));
         fs.closeSync(fd);
       });`,
      { eval: true, workerData: { door, path } },
    );
    await new Promise((resolve, reject) => worker.once("exit", resolve).once("error", reject));
    expect(count()).to.equal(before);
  });
});
