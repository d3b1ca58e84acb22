import { compileLimits } from "@rankcast/core";
import {
  countingSource,
  decodePickle,
  memorySource,
  newReadStats,
  type PickleOptions,
  type Reading,
  readFromSource,
  TensorRef,
  type TreeList,
} from "@rankcast/core/internal";
import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { plain, read, readPlain } from "../../support/plain-tree.ts";
import { bytesOf, text, u32 } from "../../support/write-pickle.ts";
import { RECORDED_ARRAYS, RECORDED_PICKLES } from "./recorded-pickles.ts";

const OPTIONS: PickleOptions = { limits: compileLimits(), where: { file: "model.pt", baseOffset: 0 } };

/** Answers each request with as few bytes as it allows. */
function readSparingly<T>(reading: Reading<T>, bytes: Uint8Array): T {
  let step = reading.next();
  while (!step.done) {
    const { offset, nbytes } = step.value;
    expect(nbytes).to.be.greaterThan(0);
    expect(offset + nbytes).to.be.at.most(bytes.length);
    step = reading.next(bytes.slice(offset, offset + nbytes));
  }
  return step.value;
}

describe("reading a pickle", () => {
  it("names file, record, byte of the file and opcode in every error", async () => {
    const error = await expectError("RANKCAST_PICKLE_MEMO", () => read(bytesOf("\x80\x02]q\x00h\x05.")));
    expect(error.message).to.equal("model.pt, record archive/data.pkl, byte 1005 (BINGET): memo slot 5 was never set");
    expect(error.details).to.deep.equal({ file: "model.pt", record: "archive/data.pkl", offset: 1005, opcode: "BINGET", slot: 5 });
    expect(error.class).to.equal("pickle");
  });

  it("refuses an end before STOP, an empty pickle, and a STOP without a value", async () => {
    expect((await expectError("RANKCAST_PICKLE_TRUNCATED", () => read(bytesOf("\x80\x02]")))).class).to.equal("truncated");
    await expectError("RANKCAST_PICKLE_TRUNCATED", () => read(new Uint8Array(0)));
    await expectError("RANKCAST_PICKLE_STACK", () => read(bytesOf("\x80\x02.")));
  });

  it("reads the same whatever the windows are", () => {
    for (const table of [RECORDED_PICKLES, RECORDED_ARRAYS]) {
      for (const [name, protocols] of table) {
        for (const bytes of protocols) {
          const { value, endOffset } = readSparingly(decodePickle(0, bytes.length, OPTIONS), bytes);
          expect(plain(value), name).to.deep.equal(readPlain(bytes));
          expect(endOffset).to.equal(bytes.length);
        }
      }
    }
  });

  it("stops at the end of its own region even when more bytes are at hand", async () => {
    const bytes = bytesOf("\x80\x02]K\x01a.");
    await expectError("RANKCAST_PICKLE_TRUNCATED", () => readSparingly(decodePickle(0, 6, OPTIONS), bytes));
    const [head, tail] = [bytesOf("junk"), bytesOf("more")];
    const { value, endOffset } = readSparingly(decodePickle(4, 11, OPTIONS), bytesOf(head, bytes, tail));
    expect([plain(value), endOffset]).to.deep.equal([["list", 1], 11]);
  });

  it("bounds a pickle by its bytes", async () => {
    const bytes = bytesOf("]", "N0".repeat(5000), ".");
    await expectError("RANKCAST_LIMIT", () => read(bytes, {}, { pickleBytes: 9000 }));
    expect(plain(read(bytes, {}, { pickleBytes: 10_002 }))).to.deep.equal(["list"]);
  });
});

describe("reading a pickle of a file", () => {
  const content = Uint8Array.from({ length: 1_000_000 }, (_, at) => at % 251);
  const dtype = "cnumpy\ndtype\nU\x02u1\x89\x88\x87R";
  const array = (bytes: Uint8Array): Uint8Array =>
    bytesOf(
      "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01J",
      u32(bytes.length),
      "\x85",
      dtype,
      "\x89B",
      u32(bytes.length),
      bytes,
      "tb",
    );

  async function readCounting(bytes: Uint8Array): Promise<{ value: ReturnType<typeof read>; bytesRead: number; requests: number }> {
    const stats = newReadStats();
    const source = countingSource(memorySource(bytes), stats);
    const { value } = await readFromSource(decodePickle(0, bytes.length, { ...OPTIONS, skipBytesMin: 65536 }), source);
    return { value, bytesRead: stats.bytesRead, requests: stats.requests };
  }

  it("leaves large arrays where they are", async () => {
    const bytes = bytesOf("\x80\x02](", array(content), text("between"), array(content), "e.");
    const { value, bytesRead } = await readCounting(bytes);
    expect(bytesRead).to.be.lessThan(600_000);
    const [first, between, second] = (value as TreeList).elements;
    expect(between).to.equal("between");
    for (const each of [first, second]) {
      const extent = (each as TensorRef).storage.pieces[0]?.extent;
      if (extent?.type !== "range") throw new Error("not left in the file");
      expect([extent.source, extent.storedBytes]).to.deep.equal([0, content.length]);
      expect(Buffer.compare(bytes.subarray(extent.offset, extent.offset + content.length), content)).to.equal(0);
    }
  });

  it("does not count skipped bytes as pickle", async () => {
    const bytes = bytesOf("\x80\x02", array(content), ".");
    const options = { ...OPTIONS, limits: compileLimits({ pickleBytes: 1000 }), skipBytesMin: 65536 };
    const { value } = await readFromSource(decodePickle(0, bytes.length, options), memorySource(bytes));
    expect(value).to.be.instanceOf(TensorRef);
  });

  it("reads skipped bytes after all when they are a plain value", async () => {
    const value = await readCounting(bytesOf("}(U\x01bB", u32(content.length), content, "U\x01tT", u32(70_000), "x".repeat(70_000), "u."));
    const dict = plain(value.value) as [string, [string, string], [string, string]];
    expect(dict[1][1]).to.equal(`hex:${Buffer.from(content).toString("hex")}`);
    expect(dict[2][1]).to.equal("x".repeat(70_000));
  });

  it("reads skipped bytes that are wrong for an array", async () => {
    const wrong = bytesOf(
      "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01K\x07\x85",
      dtype,
      "\x89B",
      u32(70_000),
      "x".repeat(70_000),
      "tb.",
    );
    await expectError("RANKCAST_TENSOR_LAYOUT", readCounting(wrong));
    await expectError("RANKCAST_PICKLE_KEY", readCounting(bytesOf("}B", u32(70_000), "x".repeat(70_000), "Ns.")));
  });

  it("asks for few windows", async () => {
    const { requests } = await readCounting(bytesOf("](", "K\x01".repeat(200_000), "e."));
    expect(requests).to.be.lessThan(6);
  });
});
