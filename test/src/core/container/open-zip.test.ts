import { compileLimits, DEFAULT_LIMITS } from "@rankcast/core";
import { type ByteSource, countingSource, folderOf, memorySource, newReadStats, openZip, requireRecord } from "@rankcast/core/internal";
import { expect } from "chai";
import { buildZip, type ZipRecord } from "../../support/build-zip.ts";
import { expectError } from "../../support/expect-error.ts";
import { EXPECTED, fixtureBytes, refusalClasses } from "../../support/fixtures.ts";

const limits = DEFAULT_LIMITS;
const text = (value: string): Uint8Array => Buffer.from(value);
const open = (bytes: Uint8Array) => openZip(memorySource(bytes, "model.pt"), { limits });
const some: readonly ZipRecord[] = [
  { name: "archive/data.pkl", bytes: text("a pickle") },
  { name: "archive/data/0", bytes: Buffer.alloc(1000, 7) },
  { name: "archive/data/1", bytes: new Uint8Array() },
  { name: "archive/version", bytes: text("3\n") },
];

describe("openZip", () => {
  it("gives every record's bytes, however its sizes are written", async () => {
    const ways: Partial<ZipRecord>[] = [
      {},
      { wide: true },
      { sizesInHeader: true },
      { sizesInHeader: true, wide: true },
      { deflate: true },
      { deflate: true, sizesInHeader: true },
      { alignment: 4096 },
      { alignment: 1 },
    ];
    for (const way of ways) {
      const records = some.map((record) => ({ ...record, ...way }));
      for (const zip64 of [true, false]) {
        const zip = await open(buildZip(records, { zip64 }));
        expect([...zip.entries.keys()]).to.deep.equal(some.map((record) => record.name));
        for (const { name, bytes } of some) expect(Buffer.from(await zip.read(requireRecord(zip, name)))).to.deep.equal(Buffer.from(bytes));
      }
    }
  });

  it("points stored entries at their payload, not at where the directory would put it", async () => {
    const bytes = buildZip(some);
    const entry = requireRecord(await open(bytes), "archive/data/0");
    expect(entry).to.include({ storedBytes: 1000, nbytes: 1000, encoding: "stored" });
    expect(entry.offset % 64).to.equal(0);
    expect(Buffer.from(bytes.subarray(entry.offset, entry.offset + 1000))).to.deep.equal(Buffer.alloc(1000, 7));
  });

  it("takes a checksum of 0 over bytes as left out", async () => {
    const zip = await open(buildZip(some.map((record) => ({ ...record, crc32: 0 }))));
    expect(requireRecord(zip, "archive/data/0").crc32).to.equal(null);
    expect(requireRecord(zip, "archive/data/1").crc32).to.equal(0);
    expect(Buffer.from(await zip.read(requireRecord(zip, "archive/data.pkl"))).toString()).to.equal("a pickle");
  });

  it("reads a small archive once", async () => {
    const stats = newReadStats();
    const zip = await openZip(countingSource(memorySource(buildZip(some)), stats), { limits });
    expect(zip.entries.size).to.equal(4);
    expect(stats.requests).to.equal(1);
  });

  it("reads the headers of 20 000 small records in a few dozen reads", async () => {
    const records = Array.from({ length: 20_000 }, (_, index) => ({ name: `a/data/${index}`, bytes: Buffer.alloc(400, index) }));
    const stats = newReadStats();
    const zip = await openZip(countingSource(memorySource(buildZip(records)), stats), { limits });
    expect(zip.entries.size).to.equal(20_000);
    expect(stats.requests).to.be.below(60);
  });

  it("skips large payloads when it reads headers", async () => {
    const records = Array.from({ length: 8 }, (_, index) => ({ name: `a/data/${index}`, bytes: Buffer.alloc(2 ** 20, index) }));
    const stats = newReadStats();
    await openZip(countingSource(memorySource(buildZip(records)), stats), { limits });
    expect(stats.bytesRead).to.be.below(100_000);
  });

  it("says how many bytes behind the end it ignored, up to 65535", async () => {
    const zip = await open(Buffer.concat([buildZip(some), Buffer.alloc(65_535)]));
    expect(zip.warnings.map((warning) => warning.code)).to.deep.equal(["trailing-bytes"]);
    const error = await expectError("RANKCAST_ZIP_END", open(Buffer.concat([buildZip(some), Buffer.alloc(65_536)])));
    expect(error.message).to.contain("65536 bytes stand behind");
  });

  it("names the last whole record of an archive that was cut", async () => {
    const bytes = buildZip(some);
    const cut = bytes.subarray(0, Buffer.from(bytes).indexOf("archive/version") + 10);
    const error = await expectError("RANKCAST_TRUNCATED", open(cut));
    expect(error.details).to.include({ file: "model.pt", record: "archive/data/1", offset: cut.length });
  });

  it("accepts a longer zip64 end record and refuses one that does not reach its locator", async () => {
    const bytes = Buffer.from(buildZip(some));
    const wide = bytes.length - 22 - 20 - 56;
    const longer = Buffer.concat([bytes.subarray(0, wide + 56), Buffer.alloc(8), bytes.subarray(wide + 56)]);
    longer.writeBigUInt64LE(52n, wide + 4);
    expect((await open(longer)).entries.size).to.equal(4);
    longer.writeBigUInt64LE(44n, wide + 4);
    await expectError("RANKCAST_ZIP_END", open(longer));
  });

  it("refuses bytes between the directory and its end record", async () => {
    const bytes = Buffer.from(buildZip(some, { zip64: false }));
    const gap = Buffer.concat([bytes.subarray(0, -22), Buffer.alloc(8), bytes.subarray(-22)]);
    await expectError("RANKCAST_ZIP_END", open(gap));
  });

  it("refuses a stored record of two sizes by its directory entry", async () => {
    const lie = some.map((record) => (record.name.endsWith("0") ? { ...record, directory: { storedBytes: 900 } } : record));
    await expectError("RANKCAST_ZIP_DIRECTORY", open(buildZip(lie)));
  });

  it("refuses classic and zip64 end records that differ", async () => {
    const bytes = Buffer.from(buildZip(some));
    bytes.writeUInt16LE(3, bytes.length - 22 + 10);
    await expectError("RANKCAST_ZIP_END", open(bytes));
  });

  it("refuses a record that reaches into the next one's header", async () => {
    const lies = some.map((record) => (record.name.endsWith("0") ? { ...record, directory: { nbytes: 1010, storedBytes: 1010 } } : record));
    const error = await expectError("RANKCAST_ZIP_LOCAL_HEADER", open(buildZip(lies)));
    expect(error.details["record"]).to.equal("archive/data/0");
    const far = some.map((record) => (record.name.endsWith("0") ? { ...record, directory: { nbytes: 1100, storedBytes: 1100 } } : record));
    await expectError("RANKCAST_ZIP_OVERLAP", open(buildZip(far)));
  });

  it("refuses a data descriptor that contradicts the directory", async () => {
    const bytes = Buffer.from(buildZip(some));
    const at = bytes.indexOf(Buffer.from([0x50, 0x4b, 7, 8]));
    bytes[at + 8] = 1;
    await expectError("RANKCAST_ZIP_LOCAL_HEADER", open(bytes));
  });

  it("refuses names that are unsafe, ambiguous or no text", async () => {
    const refusals = [
      ["a/../b", "RANKCAST_UNSAFE_PATH"],
      ["/etc/passwd", "RANKCAST_UNSAFE_PATH"],
      ["C:/x", "RANKCAST_UNSAFE_PATH"],
      ["./a", "RANKCAST_UNSAFE_PATH"],
      ["a\\b", "RANKCAST_ZIP_NAME"],
      ["a\0b", "RANKCAST_ZIP_NAME"],
      ["a//b", "RANKCAST_ZIP_NAME"],
      ["", "RANKCAST_ZIP_NAME"],
    ] as const;
    for (const [name, code] of refusals) await expectError(code, open(buildZip([{ name, bytes: text("x") }])));
    const twice = { name: "a/b", bytes: text("x") };
    await expectError("RANKCAST_ZIP_NAME", open(buildZip([twice, twice])));
    await expectError("RANKCAST_ZIP_NAME", open(buildZip([{ ...twice, directory: { name: "\xff\xfe" } }])));
    expect([...(await open(buildZip([{ name: "a..b/.x", bytes: text("x") }]))).entries.keys()]).to.deep.equal(["a..b/.x"]);
  });

  it("refuses bombs before it inflates anything", async () => {
    const bomb = { name: "a/x", bytes: Buffer.alloc(100_000), deflate: true };
    expect((await open(buildZip([bomb]))).entries.size).to.equal(1);
    const low = compileLimits({ inflateRatio: 100, inflateRatioBytesFloor: 99_999 });
    const error = await expectError("RANKCAST_LIMIT", openZip(memorySource(buildZip([bomb])), { limits: low }));
    expect(error.details).to.include({ limit: "inflateRatio", allowed: 100 });
    const small = compileLimits({ inflateRatio: 100, inflateRatioBytesFloor: 100_000 });
    expect((await openZip(memorySource(buildZip([bomb])), { limits: small })).entries.size).to.equal(1);
    const total = compileLimits({ inflateTotalBytesFloor: 1000 });
    await expectError("RANKCAST_LIMIT", openZip(memorySource(buildZip([bomb])), { limits: total }));
    await expectError("RANKCAST_LIMIT", openZip(memorySource(buildZip(some)), { limits: compileLimits({ zipEntries: 3 }) }));
  });

  it("refuses a record that does not inflate to its size, or has more behind its end", async () => {
    const record = { name: "a/x", bytes: text("some words, some words, some words"), deflate: true };
    for (const nbytes of [10, 50]) {
      const zip = await open(
        buildZip([{ ...record, directory: { nbytes } }].map((each) => ({ ...each, sizesInHeader: false }))).slice(),
      ).catch((error: unknown) => error);
      // The descriptor already gives the lie away.
      expect(zip).to.have.property("code", "RANKCAST_ZIP_LOCAL_HEADER");
    }
    const zip = await open(buildZip([record]));
    const entry = requireRecord(zip, "a/x");
    for (const nbytes of [10, 50]) await expectError("RANKCAST_INFLATE", zip.read({ ...entry, nbytes }));
    await expectError("RANKCAST_INFLATE", zip.read({ ...entry, storedBytes: entry.storedBytes + 1 }));
    await expectError("RANKCAST_CHECKSUM", zip.read({ ...entry, crc32: 1 }));
  });

  it("passes on what the source says", async () => {
    const source: ByteSource = { ...memorySource(buildZip(some)), readInto: () => Promise.reject(new Error("gone")) };
    const thrown = await openZip(source, { limits }).catch((error: unknown) => error);
    expect(thrown).to.have.property("message", "gone");
  });
});

describe("folderOf", () => {
  it("gives the one folder of all records", async () => {
    expect(folderOf(await open(buildZip(some)))).to.equal("archive");
  });

  it("refuses records outside of it", async () => {
    const outside = await open(buildZip([...some, { name: "archive2/x", bytes: text("x") }]));
    await expectError("RANKCAST_ZIP_NAME", () => folderOf(outside));
    const bare = await open(buildZip([{ name: "x", bytes: text("x") }]));
    await expectError("RANKCAST_ZIP_NAME", () => folderOf(bare));
    await expectError("RANKCAST_ZIP_RECORD_MISSING", async () => folderOf(await open(buildZip([]))));
  });

  it("says when a missing record is there in another case", async () => {
    const zip = await open(buildZip(some));
    const error = await expectError("RANKCAST_ZIP_RECORD_MISSING", () => requireRecord(zip, "archive/DATA/0"));
    expect(error.message).to.contain('"archive/data/0" differs in case');
  });
});

describe("zip fixtures", () => {
  const isZip = (path: string): boolean => /\.(pt|pth|ckpt|npz|zip)$/.test(path) && fixtureBytes(path).subarray(0, 2).toString() === "PK";
  const readAll = async (path: string): Promise<void> => {
    const zip = await openZip(memorySource(fixtureBytes(path), path), { limits });
    if (!path.endsWith(".npz")) folderOf(zip);
    for (const entry of zip.entries.values()) await zip.read(entry);
  };

  for (const [path, row] of EXPECTED) {
    if (path.startsWith("accepted/") && isZip(path)) it(`reads every record of ${path}`, () => readAll(path));
    const mine = /^refused\/(zip|integrity|unsafe-path)\/|^refused\/truncated\/zip_|flag_0x|method_|multi_disk|npz_cut/.test(path);
    const later = /upper_case_record|record_missing|data_pkl_missing|zip_in_zip/.test(path);
    if (mine && !later && !path.startsWith("accepted/") && isZip(path)) {
      it(`refuses ${path}`, async () => {
        const thrown: unknown = await readAll(path).catch((error: unknown) => error);
        expect(thrown).to.have.property("class").that.is.oneOf(refusalClasses(row));
      });
    }
  }
});
