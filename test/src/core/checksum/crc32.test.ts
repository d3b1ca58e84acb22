/** CRC-32 is what zlib says, by whom and of whatever memory it is computed. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 as zlibCrc32 } from "node:zlib";
import { crc32, crc32OfBoth, crc32OfTail, nativeMemory, openFastCrc32, prepareCrc32 } from "@rankcast/core/internal";
import { expect } from "chai";
import { temporaryDirectory } from "../../support/temporary-directory.js";

const MIB = 2 ** 20;
/** Around every width that a processor's instructions may have, and around where the other implementation takes over. */
const SIZES = [...Array.from({ length: 300 }, (_, size) => size), 511, 512, 513, 1023, 1024, 1025, 4095, 4096, 4097, 65_537, MIB + 13];

describe("crc32", () => {
  const directory = temporaryDirectory();
  const noise = randomBytes(2 * MIB);

  it("is zlib's for every size and alignment, from the beginning and continued", () => {
    prepareCrc32();
    for (const size of SIZES) {
      for (const at of size < 5000 ? [0, 1, 3, 7, 8, 15, 31, 32, 63] : [0, 5]) {
        const bytes = noise.subarray(at, at + size);
        expect(crc32(bytes), `${size} bytes at ${at}`).to.equal(zlibCrc32(bytes));
        expect(crc32(bytes, 0xdeadbeef), `${size} bytes at ${at}, continued`).to.equal(zlibCrc32(bytes, 0xdeadbeef));
      }
    }
  });

  it("is the fast one's where it is installed, for small sizes too", function () {
    const fast = openFastCrc32();
    if (!fast) return this.skip();
    for (const size of SIZES) {
      const bytes = noise.subarray(3, 3 + size);
      expect(fast(bytes, 0), `${size} bytes`).to.equal(zlibCrc32(bytes));
      expect(fast(bytes, 0xffffffff), `${size} bytes, continued`).to.equal(zlibCrc32(bytes, 0xffffffff));
    }
  });

  it("is the same of shared, mapped and unshared memory, and looks at the memory itself", () => {
    const shared = new Uint8Array(new SharedArrayBuffer(MIB), 5);
    shared.set(noise.subarray(0, shared.length));
    expect(crc32(shared)).to.equal(zlibCrc32(noise.subarray(0, shared.length)));
    shared[77] = 255 - (shared[77] ?? 0);
    expect(crc32(shared)).to.not.equal(zlibCrc32(noise.subarray(0, shared.length)));
    expect(crc32(new Uint8Array(noise))).to.equal(zlibCrc32(noise));
    const native = nativeMemory(false);
    if (!native) return;
    const path = join(directory(), "noise");
    writeFileSync(path, noise);
    const fd = openSync(path, "r");
    const { buffer, byteOffset, nbytes } = native.mapPrivate(fd, 0, noise.length);
    closeSync(fd);
    expect(crc32(new Uint8Array(buffer, byteOffset, nbytes))).to.equal(zlibCrc32(noise));
    native.unmap(buffer);
  });

  it("copies nothing of what it looks at", function () {
    if (!prepareCrc32()) return this.skip();
    const large = new Uint8Array(new SharedArrayBuffer(256 * MIB));
    const before = process.resourceUsage().maxRSS;
    crc32(large);
    // Reading fresh memory maps the page of zeros; a copy of it would take memory.
    expect((process.resourceUsage().maxRSS - before) * 1024).to.be.below(128 * MIB);
  });

  it("of a whole follows from its parts'", () => {
    for (const cut of [0, 1, 2, 63, 64, 65_536, MIB, MIB + 1, noise.length]) {
      const [head, tail] = [noise.subarray(0, cut), noise.subarray(cut)];
      expect(crc32OfBoth(crc32(head), crc32(tail), tail.length), `cut at ${cut}`).to.equal(zlibCrc32(noise));
      expect(crc32OfTail(crc32(noise), crc32(head), tail.length), `cut at ${cut}`).to.equal(zlibCrc32(tail));
    }
  });
});

describe("the library behind crc32", () => {
  const absent = (name: string): never => {
    throw new Error(`Cannot find module '${name}'`);
  };
  const other = (previousCounts: boolean, maxBytes: number) => () => ({
    crc32: (bytes: Uint8Array, previous: number) => (bytes.length > maxBytes ? 1 : zlibCrc32(bytes, previousCounts ? previous : 0)),
  });

  it("is not used when it is not there, or says something else than zlib", () => {
    expect(openFastCrc32(absent)).to.equal(null);
    expect(openFastCrc32(() => ({}))).to.equal(null);
    expect(openFastCrc32(other(false, Infinity)), "forgets what was before").to.equal(null);
    expect(openFastCrc32(other(true, 1024)), "wrong where it computes at once").to.equal(null);
    expect(openFastCrc32(other(true, Infinity)), "right").to.be.a("function");
  });

  it("is not missed: a process without it reads the same, and refuses the same", () => {
    // The package cannot be found in this process, as on a platform that it has no binary for.
    const program = `
      import Module from "node:module";
      import { crc32 as zlibCrc32 } from "node:zlib";
      const find = Module._resolveFilename;
      Module._resolveFilename = function (name, ...rest) {
        if (name.startsWith("@node-rs/")) throw new Error("absent");
        return find.call(this, name, ...rest);
      };
      const { crc32, prepareCrc32 } = await import(${JSON.stringify(import.meta.resolve("@rankcast/core/internal"))});
      const bytes = new Uint8Array(40 * 2 ** 20).fill(7);
      const same = crc32(bytes) === zlibCrc32(bytes) && crc32(bytes, 5) === zlibCrc32(bytes, 5);
      process.stdout.write(JSON.stringify({ fast: prepareCrc32(), same }));
    `;
    const said = execFileSync(process.execPath, ["--input-type=module", "--eval", program], { encoding: "utf8" });
    expect(JSON.parse(said)).to.deep.equal({ fast: false, same: true });
  });

  it("is not loaded by a process that computes little", () => {
    const program = `
      import Module from "node:module";
      const find = Module._resolveFilename;
      let asked = 0;
      Module._resolveFilename = function (name, ...rest) {
        if (name === "@node-rs/crc32") asked += 1;
        return find.call(this, name, ...rest);
      };
      const { crc32 } = await import(${JSON.stringify(import.meta.resolve("@rankcast/core/internal"))});
      const bytes = new Uint8Array(2 ** 20);
      for (let mib = 0; mib < 31; mib += 1) crc32(bytes);
      const before = asked;
      for (let mib = 0; mib < 3; mib += 1) crc32(bytes);
      process.stdout.write(JSON.stringify([before, asked]));
    `;
    const said = execFileSync(process.execPath, ["--input-type=module", "--eval", program], { encoding: "utf8" });
    expect(JSON.parse(said)).to.deep.equal([0, 1]);
  });
});
