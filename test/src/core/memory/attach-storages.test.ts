import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { attachStorages, createMemorySegment, nativeMemory, type SegmentDescriptor } from "@rankcast/core/internal";
import { expect } from "chai";

const PAGE = 65_536;

function fileSegment(path: string, offset: number, nbytes: number): SegmentDescriptor {
  const { size, mtimeMs, ino } = statSync(path);
  return { kind: "file", path, offset, nbytes, sizeBytes: size, mtimeMs, inode: ino };
}

describe("attachStorages", () => {
  let directory: string;
  let path: string;
  const bytes = new Uint8Array(3 * PAGE).map((_, index) => (index * 7 + (index >> 8)) % 251);

  before(() => {
    directory = mkdtempSync(join(tmpdir(), "rankcast-test-"));
    path = join(directory, "weights");
    writeFileSync(path, bytes);
  });
  after(() => rmSync(directory, { recursive: true }));

  const placements = [
    { segment: 0, byteOffset: 100, nbytes: 1000 },
    null,
    { segment: 0, byteOffset: PAGE + 5, nbytes: PAGE - 5 },
    { segment: 0, byteOffset: 0, nbytes: 0 },
  ];

  for (const mode of ["mapped", "read"] as const) {
    const native = () => nativeMemory(mode === "read");

    it(`gives the same bytes ${mode}`, function () {
      if (mode === "mapped" && !native()) this.skip();
      const attached = attachStorages([fileSegment(path, PAGE, 2 * PAGE)], placements, native());
      expect(attached.how).to.equal(mode);
      expect(Buffer.from(attached.storages[0]?.bytes() ?? [])).to.deep.equal(Buffer.from(bytes.subarray(PAGE + 100, PAGE + 1100)));
      expect(Buffer.from(attached.storages[2]?.bytes() ?? [])).to.deep.equal(Buffer.from(bytes.subarray(2 * PAGE + 5)));
      expect(attached.storages[1]?.buffer).to.equal(null);
      expect(attached.storages[3]?.bytes().length).to.equal(0);
    });

    it(`refuses another file under the same name (${mode})`, function () {
      if (mode === "mapped" && !native()) this.skip();
      const segment = fileSegment(path, 0, PAGE);
      const copy = join(directory, "copy");
      writeFileSync(copy, bytes);
      expect(() => attachStorages([{ ...segment, path: copy }], [{ segment: 0, byteOffset: 0, nbytes: 8 }], native()))
        .to.throw()
        .with.property("code", "RANKCAST_SOURCE_CHANGED");
    });

    it(`says that the owner has gone (${mode})`, function () {
      if (mode === "mapped" && !native()) this.skip();
      const gone: SegmentDescriptor = { kind: "memfd", path: join(directory, "none"), nbytes: 8 };
      expect(() => attachStorages([gone], [{ segment: 0, byteOffset: 0, nbytes: 8 }], native()))
        .to.throw()
        .with.property("code", "RANKCAST_SEGMENT_GONE");
    });
  }

  it("mapped views are private: a write is seen by nobody else and not by the file", function () {
    const native = nativeMemory(false);
    if (!native) this.skip();
    const place = [{ segment: 0, byteOffset: 0, nbytes: PAGE }];
    const [first] = attachStorages([fileSegment(path, 0, PAGE)], place, native).storages;
    const [second] = attachStorages([fileSegment(path, 0, PAGE)], place, native).storages;
    const view = first?.bytes() ?? new Uint8Array();
    view[7] = 255 - (bytes[7] ?? 0);
    expect(second?.bytes()[7]).to.equal(bytes[7]);
    expect(readFileSync(path)[7]).to.equal(bytes[7]);
  });

  it("detects a file that was rewritten in place", () => {
    const rewritten = join(directory, "rewritten");
    writeFileSync(rewritten, bytes);
    const segment = fileSegment(rewritten, 0, PAGE);
    const fd = openSync(rewritten, "r+");
    writeSync(fd, Buffer.from([1, 2, 3]), 0, 3, 0);
    closeSync(fd);
    utimesSync(rewritten, new Date(), new Date(Date.now() + 5000));
    expect(() => attachStorages([segment], [{ segment: 0, byteOffset: 0, nbytes: 8 }], null))
      .to.throw()
      .with.property("code", "RANKCAST_SOURCE_CHANGED");
  });
});

describe("createMemorySegment", () => {
  for (const disabled of [false, true]) {
    const name = disabled ? "without the kernel door" : "as a sealed memfd";

    it(`${name}: what was filled is what consumers see`, function () {
      const native = nativeMemory(disabled);
      if (!disabled && !native) this.skip();
      const segment = createMemorySegment(100_000, native);
      new Uint8Array(segment.buffer).fill(42, 10, 20);
      const descriptor = segment.publish();
      const [storage] = attachStorages([descriptor], [{ segment: 0, byteOffset: 8, nbytes: 16 }], native).storages;
      expect([...(storage?.bytes() ?? [])]).to.deep.equal([0, 0, ...new Array(10).fill(42), 0, 0, 0, 0]);
      segment.release();
      expect([...(storage?.bytes() ?? [])].filter((byte) => byte === 42)).to.have.length(10);
      segment.release();
    });

    it(`${name}: leaves no name behind`, () => {
      const before = readdirSync(tmpdir()).filter((entry) => entry.startsWith("rankcast-"));
      const shm = readdirSync("/dev/shm").filter((entry) => entry.startsWith("rankcast-"));
      const segment = createMemorySegment(4096, nativeMemory(disabled));
      segment.publish();
      expect(readdirSync("/dev/shm").filter((entry) => entry.startsWith("rankcast-"))).to.deep.equal(shm);
      expect(readdirSync(tmpdir()).filter((entry) => entry.startsWith("rankcast-"))).to.deep.equal(before);
      segment.release();
    });
  }

  it("sealed memory can be neither written nor shrunk", function () {
    const native = nativeMemory(false);
    if (!native) this.skip();
    const segment = createMemorySegment(4096, native);
    const { path } = segment.publish();
    const fd = openSync(path, "r+");
    expect(() => writeSync(fd, Buffer.from([1])))
      .to.throw()
      .with.property("code", "EPERM");
    expect(() => ftruncateSync(fd, 0))
      .to.throw()
      .with.property("code", "EPERM");
    closeSync(fd);
    segment.release();
  });

  it("more memory than the machine has is an error, not a crash", function () {
    const native = nativeMemory(false);
    if (!native) this.skip();
    expect(() => createMemorySegment(2 ** 50, native))
      .to.throw()
      .with.property("class", "disk-full");
  });
});
