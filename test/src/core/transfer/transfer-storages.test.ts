import { randomBytes } from "node:crypto";
import { DEFAULT_LIMITS, Storage } from "@rankcast/core";
import { type ByteSource, memorySource, transferStorages } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";
import { FileBuilder, gather, halves, into, storageOf } from "../../support/build-storages.ts";
import { expectError } from "../../support/expect-error.ts";

const limits = DEFAULT_LIMITS;
const MIB = 2 ** 20;

const contents = ({ target }: { readonly target: Storage }): Buffer => Buffer.from(target.bytes());
const plain = { limits, verify: true } as const;

describe("transferStorages", () => {
  it("reads small neighbours together and counts what it reads", async () => {
    const file = new FileBuilder();
    const values = Array.from({ length: 5000 }, () => randomBytes(200));
    const reads = values.map((bytes) => into(storageOf([file.add(bytes, { gap: 56 })], 200)));
    const stats = await transferStorages(reads, [file.source()], plain);
    reads.forEach((read, index) => {
      expect(contents(read).equals(values[index] ?? Buffer.alloc(0))).to.equal(true);
    });
    expect(stats.bytesNeeded).to.equal(1_000_000);
    expect(stats.bytesRead).to.be.within(1_000_000, 5000 * 256);
    expect(stats.requests).to.be.below(5);
  });

  it("reads large pieces straight into their place and nothing else", async () => {
    const file = new FileBuilder();
    const [a, b] = [randomBytes(9 * MIB + 5), randomBytes(MIB)];
    const reads = [into(storageOf([file.add(a, { gap: 1000 })], a.length)), into(storageOf([file.add(b, { gap: 70_000 })], b.length))];
    const windows: number[] = [];
    const memory = file.source();
    const source: ByteSource = {
      ...memory,
      readInto: (target, offset, signal) => {
        windows.push(reads.some((read) => read.target.buffer === target.buffer) ? 1 : 0);
        return memory.readInto(target, offset, signal);
      },
    };
    const stats = await transferStorages(reads, [source], plain);
    expect(reads.map((read) => contents(read).equals(read === reads[0] ? a : b))).to.deep.equal([true, true]);
    expect(windows).to.deep.equal([1, 1, 1]);
    expect(stats).to.deep.include({ bytesNeeded: a.length + b.length, bytesRead: a.length + b.length });
  });

  it("inflates small and large pieces", async () => {
    const file = new FileBuilder();
    const [small, large] = [
      Buffer.from("words, ".repeat(100)),
      Buffer.concat([randomBytes(3 * MIB), Buffer.alloc(3 * MIB), randomBytes(10)]),
    ];
    const reads = [small, large].map((bytes) => into(storageOf([file.add(bytes, { deflate: true })], bytes.length)));
    await transferStorages(reads, [file.source()], plain);
    expect(reads.map(contents).map((bytes, index) => bytes.equals(index === 0 ? small : large))).to.deep.equal([true, true]);
  });

  it("puts storages together from pieces, inline ones among them, and swaps bytes once", async () => {
    const file = new FileBuilder();
    const bytes = randomBytes(16);
    const pieces = [
      file.add(bytes.subarray(8), { at: 8 }),
      { at: 0, nbytes: 8, extent: { type: "inline", bytes: bytes.subarray(0, 8) } as const },
    ];
    for (const unit of [1, 2, 4, 8] as const) {
      const read = into(storageOf(pieces, 16, unit));
      await transferStorages([read], [file.source()], plain);
      const expected = Buffer.from(bytes);
      if (unit === 2) expected.swap16();
      if (unit === 4) expected.swap32();
      if (unit === 8) expected.swap64();
      expect(contents(read)).to.deep.equal(expected);
    }
  });

  it("leaves meta storages and storages of no bytes alone", async () => {
    const meta = { storage: { ...storageOf([], 400), meta: true } as const, target: new Storage(null, 0, 400) };
    const stats = await transferStorages([meta, into(storageOf([], 0))], [], plain);
    expect(stats.requests).to.equal(0);
  });

  it("refuses bytes that differ from their checksum, naming file, record and place", async () => {
    const sizes = [100, MIB];
    for (const size of sizes) {
      for (const deflate of [false, true]) {
        const file = new FileBuilder();
        const piece = file.add(randomBytes(size), { gap: 64, deflate, crc: 1, record: "archive/data/7" });
        const error = await expectError("RANKCAST_CHECKSUM", transferStorages([into(storageOf([piece], size))], [file.source()], plain));
        expect(error.class).to.equal("integrity");
        expect(error.details).to.deep.include({ file: "model.pt", record: "archive/data/7", offset: 64, expected: "00000001" });
        await transferStorages([into(storageOf([piece], size))], [file.source()], { limits, verify: false });
      }
    }
  });

  it("takes a missing checksum for what it is", async () => {
    const file = new FileBuilder();
    const read = into(storageOf([file.add(Buffer.from("abc"), { crc: null })], 3));
    await transferStorages([read], [file.source()], plain);
    expect(contents(read).toString()).to.equal("abc");
  });

  it("refuses compressed pieces of another size, damaged ones, and bytes behind their end", async () => {
    for (const size of [1000, 2 * MIB]) {
      const bytes = Buffer.concat([randomBytes(size / 2), Buffer.alloc(size / 2)]);
      const file = new FileBuilder();
      const piece = file.add(bytes, { deflate: true });
      const { extent } = piece;
      if (extent.type !== "range") throw new Error("no range");
      const whole = Buffer.concat([file.bytes(), Buffer.alloc(300_000)]);
      const attempt = (nbytes: number, storedBytes: number, data: Buffer = whole) =>
        transferStorages([into(storageOf([{ at: 0, nbytes, extent: { ...extent, storedBytes } }], nbytes))], [memorySource(data)], plain);
      await attempt(size, extent.storedBytes);
      await expectError("RANKCAST_INFLATE", attempt(size - 1, extent.storedBytes));
      await expectError("RANKCAST_INFLATE", attempt(size + 1, extent.storedBytes));
      await expectError("RANKCAST_INFLATE", attempt(size, extent.storedBytes + 1));
      await expectError("RANKCAST_INFLATE", attempt(size, extent.storedBytes + 300_000));
      await expectError("RANKCAST_INFLATE", attempt(size, extent.storedBytes - 10));
      const spoiled = Buffer.from(whole);
      spoiled.fill(0xff, 0, 20);
      await expectError("RANKCAST_INFLATE", attempt(size, extent.storedBytes, spoiled));
    }
  });

  it("places rectangles, however they lie in the tensor", async () => {
    const shapes = fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(shapes, fc.nat(3), fc.constantFrom(1, 2, 4, 16), fc.boolean(), async (shape, along, itemBytes, deflate) => {
        const count = shape.reduce((product, size) => product * size, 1);
        const whole = randomBytes(count * itemBytes);
        const file = new FileBuilder();
        const pieces = halves(shape, along).map(({ offsets, sizes }) => ({
          ...file.add(gather(whole, shape, offsets, sizes, itemBytes), { deflate, gap: 3 }),
          rectangle: { shape, offsets, sizes, itemBytes },
        }));
        const read = into(storageOf(pieces, whole.length));
        await transferStorages([read], [file.source()], plain);
        return contents(read).equals(whole);
      }),
      { numRuns: 150 },
    );
  });

  it("places large rectangles", async () => {
    const shape = [600, 1000];
    const whole = randomBytes(600 * 1000 * 4);
    for (const along of [0, 1]) {
      for (const deflate of [false, true]) {
        const file = new FileBuilder();
        const pieces = halves(shape, along).map(({ offsets, sizes }) => ({
          ...file.add(gather(whole, shape, offsets, sizes, 4), { deflate }),
          rectangle: { shape, offsets, sizes, itemBytes: 4 },
        }));
        const read = into(storageOf(pieces, whole.length));
        await transferStorages([read], [file.source()], plain);
        expect(contents(read).equals(whole)).to.equal(true);
      }
    }
  });
});
