/** Checksums of complete segments are compared whole, by one thread or by several. */
import { statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { FormatError } from "@rankcast/core";
import { nativeMemory, type StorageDescriptor, StorageRef, verifySegments } from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";

const MIB = 2 ** 20;
const PIECE_BYTES = 300_000;
const PIECES = 9;
const WAYS = ["crew", "pool", "alone"] as const;

describe("verifySegments", function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();

  function written(broken: number | null): Parameters<typeof verifySegments> {
    const path = join(directory(), "weights");
    const pieces = Array.from({ length: PIECES }, (_, index) => new Uint8Array(PIECE_BYTES).fill(index));
    const storages = pieces.map((bytes, index): StorageDescriptor => {
      const place = { offset: index * PIECE_BYTES, storedBytes: PIECE_BYTES, encoding: "stored" as const, crc32: crc32(bytes) };
      const record = { ...place, name: `data/${index}`, nbytes: PIECE_BYTES };
      const { pieces: made, swapBytes, savedDevice } = new StorageRef({ nbytes: PIECE_BYTES, pieces: record });
      // As a manifest has them: plain, and making its pieces when they are asked for, which threads must be told of as well.
      if (index % 3 === 0) return { nbytes: PIECE_BYTES, pieces: made, swapBytes, savedDevice };
      return new StorageRef({ nbytes: PIECE_BYTES, pieces: record });
    });
    if (broken !== null) pieces[broken]?.fill(99, 100, 101);
    writeFileSync(path, Buffer.concat(pieces));
    const { size, mtimeMs, ino } = statSync(path);
    const segment = { kind: "file" as const, path, offset: 0, nbytes: size, sizeBytes: size, mtimeMs, inode: ino };
    const placements = storages.map((_, index) => ({ segment: 0, byteOffset: index * PIECE_BYTES, nbytes: PIECE_BYTES }));
    const sources = [{ name: "weights" }] as unknown as Parameters<typeof verifySegments>[0]["sources"];
    return [{ storages, sources }, placements, [segment], { native: nativeMemory(false) }];
  }

  it("looks at every byte once, whoever does", async () => {
    const [manifest, placements, segments, options] = written(null);
    const ways = [{ way: "pool" }, { way: "crew" }, { way: "alone" }, { native: null }, { native: null, way: "crew" }, {}] as const;
    for (const way of ways) {
      const { bytesRead, bytesNeeded } = await verifySegments(manifest, placements, segments, { ...options, ...way });
      expect([bytesRead, bytesNeeded]).to.deep.equal([PIECES * PIECE_BYTES, PIECES * PIECE_BYTES]);
    }
  });

  for (let broken = 0; broken < PIECES; broken += 1) {
    it(`one byte of piece ${broken} is enough to refuse`, async () => {
      const [manifest, placements, segments, options] = written(broken);
      for (const way of [...WAYS, "reading"] as const) {
        const chosen = way === "reading" ? { native: null } : { ...options, way };
        const thrown: unknown = await verifySegments(manifest, placements, segments, chosen).catch((error: unknown) => error);
        expect(thrown, way).to.be.instanceOf(FormatError);
        expect((thrown as FormatError).code, way).to.equal("RANKCAST_CHECKSUM");
        expect((thrown as FormatError).details["record"], way).to.equal(`data/${broken}`);
      }
    });
  }

  it("what has no checksum is neither mapped nor read", async () => {
    const [{ storages, sources }, placements, segments, options] = written(null);
    const unchecked = storages.map((storage): StorageDescriptor => {
      const pieces = storage.pieces.map((piece) => ({ ...piece, extent: { ...piece.extent, crc32: null } }));
      return { nbytes: storage.nbytes, pieces, swapBytes: storage.swapBytes, savedDevice: storage.savedDevice };
    });
    const gone = segments.map((segment) => ({ ...segment, path: join(directory(), "nobody has written this") }));
    for (const native of [null, options.native]) {
      const { bytesRead, bytesNeeded } = await verifySegments({ storages: unchecked, sources }, placements, gone, { native });
      expect([bytesRead, bytesNeeded]).to.deep.equal([0, PIECES * PIECE_BYTES]);
    }
  });

  it("without mapping, a portion at a time, and others get their turns", async () => {
    const nbytes = 64 * MIB;
    const path = join(directory(), "large");
    writeFileSync(path, "");
    truncateSync(path, nbytes);
    const { mtimeMs, ino } = statSync(path);
    const record = {
      offset: 0,
      storedBytes: nbytes,
      encoding: "stored" as const,
      crc32: crc32(new Uint8Array(nbytes)),
      name: "data/0",
      nbytes,
    };
    const manifest = { storages: [new StorageRef({ nbytes, pieces: record })], sources: [{ name: "weights" }] };
    const segment = { kind: "file" as const, path, offset: 0, nbytes, sizeBytes: nbytes, mtimeMs, inode: ino };
    let turns = 0;
    const count = setInterval(() => {
      turns += 1;
    });
    const before = process.memoryUsage.rss();
    const [given, placements] = [manifest as unknown as Parameters<typeof verifySegments>[0], [{ segment: 0, byteOffset: 0, nbytes }]];
    const { bytesRead } = await verifySegments(given, placements, [segment], { native: null });
    clearInterval(count);
    expect(bytesRead).to.equal(nbytes);
    expect(turns).to.be.at.least(3);
    expect(process.memoryUsage.rss() - before).to.be.below(nbytes / 2);
    truncateSync(path, nbytes / 2);
    const cut = { ...segment, sizeBytes: nbytes / 2, mtimeMs: statSync(path).mtimeMs };
    await expectError("RANKCAST_SOURCE_TRUNCATED", verifySegments(given, placements, [cut], { native: null }));
  });

  it("Node's thread pool computes what zlib does, in parts too", async function () {
    const aside = nativeMemory(false)?.poolChecksum();
    // A Node whose zlib shows no function: threads of JavaScript do it then.
    if (!aside) return this.skip();
    const bytes = Uint8Array.from({ length: PIECE_BYTES + 13 }, (_, index) => index * 31);
    const first = await aside(bytes.subarray(0, 1000), 0);
    expect(await aside(bytes.subarray(1000), first)).to.equal(crc32(bytes));
  });

  for (const way of WAYS) {
    it(`stops when it is told to (${way})`, async () => {
      const [manifest, placements, segments, options] = written(null);
      const reason = new Error("enough");
      const signal = AbortSignal.abort(reason);
      const thrown: unknown = await verifySegments(manifest, placements, segments, { ...options, way, signal }).catch((e: unknown) => e);
      expect(thrown).to.equal(reason);
    });
  }
});
