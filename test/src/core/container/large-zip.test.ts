import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { DEFAULT_LIMITS, openCheckpoint, Storage } from "@rankcast/core";
import { openFile, openZip, requireRecord, transferStorages } from "@rankcast/core/internal";
import { expect } from "chai";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { dict, int, pickle, tensor, text, tuple } from "../../support/write-pickle.ts";

const GIB = 2 ** 30;

/** Writes an archive as torch does beyond 4 GiB; the large payload is a hole, so the file takes a few KiB of disk. */
class LargeZip {
  readonly #handle: FileHandle;
  readonly #directory: Buffer[] = [];
  #at = 0;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async addHole(name: string, nbytes: number): Promise<void> {
    await this.#header(name, Buffer.alloc(0));
    this.#at += nbytes;
    await this.#close(name, this.#headerAt, nbytes, 0, true);
  }

  async add(name: string, bytes: Buffer): Promise<void> {
    const far = this.#at >= 2 ** 32 - 1;
    // torch puts the header's own offset into a zip64 field of the local header, where no other writer has one.
    const extra = Buffer.alloc(far ? 12 : 0);
    if (far) {
      extra.writeUInt16LE(1, 0);
      extra.writeUInt16LE(8, 2);
      extra.writeBigUInt64LE(BigInt(this.#at), 4);
    }
    await this.#header(name, extra);
    await this.#write(bytes);
    await this.#close(name, this.#headerAt, bytes.length, crc32(bytes), far);
  }

  #headerAt = 0;

  async #header(name: string, extra: Buffer): Promise<void> {
    this.#headerAt = this.#at;
    const header = Buffer.alloc(30);
    header.writeUInt32LE(0x04034b50, 0);
    header.writeUInt16LE(0x0808, 6);
    header.writeUInt16LE(name.length, 26);
    header.writeUInt16LE(extra.length, 28);
    await this.#write(Buffer.concat([header, Buffer.from(name), extra]));
  }

  async #close(name: string, headerAt: number, nbytes: number, crc: number, wide: boolean): Promise<void> {
    const descriptor = Buffer.alloc(wide ? 24 : 16);
    descriptor.writeUInt32LE(0x08074b50, 0);
    descriptor.writeUInt32LE(crc, 4);
    for (const half of [0, 1]) {
      if (wide) descriptor.writeBigUInt64LE(BigInt(nbytes), 8 + 8 * half);
      else descriptor.writeUInt32LE(nbytes, 8 + 4 * half);
    }
    await this.#write(descriptor);
    this.#directory.push(directoryEntry(name, headerAt, nbytes, crc));
  }

  async finish(): Promise<void> {
    const begin = this.#at;
    const size = this.#directory.reduce((sum, entry) => sum + entry.length, 0);
    const end = Buffer.alloc(56 + 20 + 22);
    end.writeUInt32LE(0x06064b50, 0);
    end.writeBigUInt64LE(44n, 4);
    for (const at of [24, 32]) end.writeBigUInt64LE(BigInt(this.#directory.length), at);
    end.writeBigUInt64LE(BigInt(size), 40);
    end.writeBigUInt64LE(BigInt(begin), 48);
    end.writeUInt32LE(0x07064b50, 56);
    end.writeBigUInt64LE(BigInt(begin + size), 64);
    end.writeUInt32LE(1, 72);
    end.writeUInt32LE(0x06054b50, 76);
    for (const at of [84, 86]) end.writeUInt16LE(this.#directory.length, at);
    end.writeUInt32LE(size, 88);
    end.writeUInt32LE(0xffffffff, 92);
    await this.#write(Buffer.concat([...this.#directory, end]));
  }

  async #write(bytes: Buffer): Promise<void> {
    await this.#handle.write(bytes, 0, bytes.length, this.#at);
    this.#at += bytes.length;
  }
}

function directoryEntry(name: string, headerAt: number, nbytes: number, crc: number): Buffer {
  const wide = [nbytes, nbytes, headerAt].filter((value) => value >= 2 ** 32 - 1);
  const extra = Buffer.alloc(wide.length === 0 ? 0 : 4 + 8 * wide.length);
  if (wide.length > 0) {
    extra.writeUInt16LE(1, 0);
    extra.writeUInt16LE(8 * wide.length, 2);
    wide.forEach((value, index) => {
      extra.writeBigUInt64LE(BigInt(value), 4 + 8 * index);
    });
  }
  const entry = Buffer.alloc(46);
  entry.writeUInt32LE(0x02014b50, 0);
  entry.writeUInt16LE(0x0808, 8);
  entry.writeUInt32LE(crc, 16);
  for (const at of [20, 24]) entry.writeUInt32LE(Math.min(nbytes, 0xffffffff), at);
  entry.writeUInt16LE(name.length, 28);
  entry.writeUInt16LE(extra.length, 30);
  entry.writeUInt32LE(Math.min(headerAt, 0xffffffff), 42);
  return Buffer.concat([entry, Buffer.from(name), extra]);
}

describe("a zip of more than 4 GiB", () => {
  const directory = temporaryDirectory();

  it("opens with its offsets and sizes, and records behind 4 GiB are read", async () => {
    const path = join(directory(), "large.pt");
    const handle = await open(path, "w");
    const zip = new LargeZip(handle);
    await zip.add("archive/data.pkl", Buffer.from("first"));
    await zip.addHole("archive/data/0", 5 * GIB);
    await zip.add("archive/data/1", Buffer.from("behind five gibibytes"));
    await zip.finish();
    await handle.close();

    const source = await openFile(path);
    try {
      const container = await openZip(source, { limits: DEFAULT_LIMITS });
      expect([...container.entries.values()].map(({ nbytes, crc32: crc }) => [nbytes, crc === null])).to.deep.equal([
        [5, false],
        [5 * GIB, true],
        [21, false],
      ]);
      const last = requireRecord(container, "archive/data/1");
      expect(last.offset).to.be.greaterThan(5 * GIB);
      expect(Buffer.from(await container.read(last)).toString()).to.equal("behind five gibibytes");

      const { offset, storedBytes, crc32: crc } = last;
      const extent = { type: "range", source: 0, offset, storedBytes, encoding: "stored", crc32: crc } as const;
      const storage = { nbytes: 21, pieces: [{ at: 0, nbytes: 21, extent }], swapBytes: 1, savedDevice: "cpu" } as const;
      const target = Storage.allocate(21);
      await transferStorages([{ storage, target }], [source], { limits: DEFAULT_LIMITS, verify: true });
      expect(Buffer.from(target.bytes()).toString()).to.equal("behind five gibibytes");
    } finally {
      await source.close();
    }
  });

  it("is a torch checkpoint whose last tensor lies behind 4 GiB", async () => {
    const path = join(directory(), "large-torch.pt");
    const handle = await open(path, "w");
    const zip = new LargeZip(handle);
    const far = Buffer.from(Float32Array.from({ length: 12 }, (_, at) => at / 8).buffer);
    const numel = (5 * GIB) / 4;
    const large = tensor({ key: text("0"), numel: int(numel), size: tuple(int(numel)), stride: tuple(int(1)) });
    const last = tensor({ key: text("1") });
    const pickled = pickle(
      dict([
        [text("large"), large],
        [text("last"), last],
      ]),
    );
    await zip.add("large/data.pkl", Buffer.from(pickled));
    await zip.add("large/byteorder", Buffer.from("little"));
    await zip.addHole("large/data/0", 5 * GIB);
    await zip.add("large/data/1", far);
    await zip.add("large/version", Buffer.from("3\n"));
    await zip.finish();
    const { size, blocks } = await handle.stat();
    await handle.close();
    expect(size).to.be.greaterThan(5 * GIB);
    expect(blocks * 512, "bytes on the disk").to.be.below(2 ** 20);

    const checkpoint = await openCheckpoint(path);
    expect(checkpoint.tensors.map(({ name, nbytes }) => [name, nbytes])).to.deep.equal([
      ["large", 5 * GIB],
      ["last", 48],
    ]);
    expect((await checkpoint.tensor("last")).data).to.deep.equal(new Float32Array(far.buffer, far.byteOffset, 12));
    // Rows on both sides of the 4 GiB line of the file, and at its end.
    for (const row of [2 ** 30 - 8, numel - 4]) {
      expect((await checkpoint.slice("large", row, row + 4)).data).to.deep.equal(new Float32Array(4));
    }
    await checkpoint.close();
  });
});
