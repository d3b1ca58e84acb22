/** Pickles we write, read by our own machine; torch reads them in the torch suite. */
import { compileLimits } from "@rankcast/core";
import { PickleWriter, readPickle, type TreeDict, type TreeList, type TreeValue } from "@rankcast/core/internal";
import { expect } from "chai";
import fc from "fast-check";
import { expectError } from "../../support/expect-error.js";

function read(writer: PickleWriter): TreeValue {
  const bytes = writer.finish();
  const result = readPickle(bytes, { limits: compileLimits(), where: { file: "test", baseOffset: 0 } });
  expect(result.endOffset).to.equal(bytes.length);
  return result.value;
}

const narrow = (value: bigint): number | bigint => (BigInt.asIntN(54, value) === value && value !== -(2n ** 53n) ? Number(value) : value);

describe("PickleWriter", () => {
  it("writes every integer so that it reads back, around every change of opcode", () => {
    const edges = [0n, 2n ** 8n, 2n ** 16n, 2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n, 2n ** 200n].flatMap((edge) =>
      [-1n, 0n, 1n].flatMap((step) => [edge + step, -(edge + step)]),
    );
    for (const value of edges) expect(read(new PickleWriter().integer(value)), String(value)).to.equal(narrow(value));
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 300n), max: 2n ** 300n }), (value) => {
        expect(read(new PickleWriter().integer(value))).to.equal(narrow(value));
      }),
    );
  });

  it("uses the shortest opcode", () => {
    const lengths = ([0, 255, 256, 65535, 65536, -1, 2 ** 31 - 1, -(2 ** 31), 2 ** 31, -(2 ** 31) - 1] as const).map(
      (value) => new PickleWriter().integer(value).finish().length - 3,
    );
    expect(lengths).to.deep.equal([2, 2, 3, 3, 5, 5, 5, 5, 7, 7]);
  });

  it("writes texts, floats and constants so that they read back", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.double({ noNaN: true }), fc.boolean(), (text, float, flag) => {
        const writer = new PickleWriter().list();
        writer.elements([text, text], (each) => writer.repeatedText(each));
        expect((read(writer) as TreeList).elements).to.deep.equal([text, text]);
        const number = read(new PickleWriter().float(float));
        expect(Object.is(number, float)).to.equal(true);
        expect(read(new PickleWriter().boolean(flag))).to.equal(flag);
        expect(read(new PickleWriter().none())).to.equal(null);
      }),
    );
  });

  it("grows with its content and counts memo slots beyond one byte", () => {
    const words = Array.from({ length: 20_000 }, (_, index) => `word ${index % 700}`);
    const writer = new PickleWriter().list();
    writer.elements(words, (word) => writer.repeatedText(word));
    expect((read(writer) as TreeList).elements).to.deep.equal(words);
    const long = "x".repeat(200_000);
    expect(read(new PickleWriter().text(long))).to.equal(long);
  });

  it("nests dicts and tuples of any length", () => {
    for (let count = 0; count < 6; count += 1) {
      const sizes = Array.from({ length: count }, (_, index) => index * 100);
      const tuple = read(new PickleWriter().integers(sizes)) as TreeList;
      expect([tuple.type, tuple.elements]).to.deep.equal(["tuple", sizes]);
    }
    const writer = new PickleWriter().dict();
    writer.items(["a", "b"], (key) => writer.text(key).orderedDict());
    const dict = read(writer) as TreeDict;
    expect([...dict.entries].map(([key, value]) => [key, (value as TreeDict).type])).to.deep.equal([
      ["a", "OrderedDict"],
      ["b", "OrderedDict"],
    ]);
  });

  it("refuses what UTF-8 or one length byte cannot hold", async () => {
    await expectError("RANKCAST_SAVE_NAME", () => new PickleWriter().text("\udc00"));
    await expectError("RANKCAST_SAVE_NAME", () => new PickleWriter().integer(2n ** 2040n));
    expect(read(new PickleWriter().integer(2n ** 2038n))).to.equal(2n ** 2038n);
  });
});
