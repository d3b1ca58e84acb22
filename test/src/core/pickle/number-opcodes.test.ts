import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { read, readPlain } from "../../support/plain-tree.ts";
import { bytesOf, type Part, u32 } from "../../support/write-pickle.ts";

const one = (...parts: readonly Part[]): unknown => readPlain(bytesOf(...parts, "."));

describe("opcodes of numbers", () => {
  it("BININT is signed, BININT1 and BININT2 are not", () => {
    expect(one("J", u32(0xffffffff))).to.equal(-1);
    expect(one("J", u32(0x80000000))).to.equal(-(2 ** 31));
    expect(one("K\xff")).to.equal(255);
    expect(one("M\xff\xff")).to.equal(65535);
  });

  it("LONG1 is little-endian two's complement of any length", () => {
    expect(one("\x8a\x00")).to.equal(0);
    expect(one("\x8a\x01\xff")).to.equal(-1);
    expect(one("\x8a\x02\xff\x00")).to.equal(255);
    expect(one("\x8a\x06\x00\x00\x00\x00\x00\x01")).to.equal(2 ** 40);
    expect(one("\x8a\x07\x00\x00\x00\x00\x00\x00\x20")).to.equal(2n ** 53n);
    expect(one("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f")).to.equal(2n ** 63n - 1n);
    expect(one("\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80")).to.equal(-(2n ** 63n));
    expect(one("\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00")).to.equal(2n ** 63n);
    expect(one("\x8a\x0a\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00")).to.equal(1);
  });

  it("LONG4 has a signed length that is bounded", async () => {
    expect(one("\x8b", u32(3), "\x01\x00\x80")).to.equal(-(2 ** 23) + 1);
    await expectError("RANKCAST_PICKLE_TEXT", () => one("\x8b", u32(-1)));
    await expectError("RANKCAST_PICKLE_TRUNCATED", () => one("\x8b", u32(100 << 20), "\x01"));
    await expectError("RANKCAST_LIMIT", () => one("\x8b", u32(1025), "\x01".repeat(1025)));
    expect(one("\x8b", u32(1024), "\x01".repeat(1024))).to.be.a("bigint");
  });

  it("INT and LONG are decimal text", async () => {
    expect(one("I42\n")).to.equal(42);
    expect(one("I-7\n")).to.equal(-7);
    expect(one("I00\n")).to.equal(false);
    expect(one("I01\n")).to.equal(true);
    expect(one("L123456789012L\n")).to.equal(123456789012);
    expect(one("L-9007199254740992L\n")).to.equal(-(2n ** 53n));
    for (const wrong of ["I1x\n", "I\n", "I0x10\n", "I1e3\n", "LL\n", "L1.0L\n", "I--1\n"]) {
      await expectError("RANKCAST_PICKLE_TEXT", () => one(wrong));
    }
    await expectError("RANKCAST_LIMIT", () => one(`I${"1".repeat(3000)}\n`));
  });

  it("BINFLOAT is big-endian", () => {
    expect(one("G\x3f\xf8\x00\x00\x00\x00\x00\x00")).to.equal(1.5);
    expect(one("G\x40\x00\x00\x00\x00\x00\x00\x00")).to.equal(2);
    expect(one("G\x7f\xf8\x00\x00\x00\x00\x00\x00")).to.deep.equal(Number.NaN);
  });

  it("FLOAT is decimal text, as Python's repr writes it", async () => {
    expect(one("F1.5\n")).to.equal(1.5);
    expect(one("F-2.5e-10\n")).to.equal(-2.5e-10);
    expect(one("F3.0\n")).to.equal(3);
    expect(one("Finf\n")).to.equal(Number.POSITIVE_INFINITY);
    expect(one("F-inf\n")).to.equal(Number.NEGATIVE_INFINITY);
    expect(one("Fnan\n")).to.deep.equal(Number.NaN);
    for (const wrong of ["Fx\n", "F\n", "F0x1p3\n", "F1_0\n", "F1e\n"]) await expectError("RANKCAST_PICKLE_TEXT", () => one(wrong));
  });

  it("NONE, NEWTRUE and NEWFALSE are constants", () => {
    expect([one("N"), one("\x88"), one("\x89")]).to.deep.equal([null, true, false]);
  });

  it("integral floats are plain numbers wherever they end up", () => {
    const two = "G\x40\x00\x00\x00\x00\x00\x00\x00";
    expect(one("]", two, "a")).to.deep.equal(["list", 2]);
    expect(one("}", two, two, "s")).to.deep.equal(["dict", [2, 2]]);
    expect(one(two, "\x85")).to.deep.equal(["tuple", 2]);
    expect(one("cacme\nThing\n", two, "\x85R")).to.deep.equal({ global: "acme.Thing", args: [2] });
    expect(one("cacme\nThing\n)\x81", two, "b")).to.deep.equal({ global: "acme.Thing", state: 2 });
    expect(one("cacme\nThing\n)\x81", two, "a", two, two, "s")).to.deep.equal({ global: "acme.Thing", elements: [2], entries: [[2, 2]] });
    expect(one("ccollections\nOrderedDict\n)R}", "U\x01k", two, "sb")).to.deep.equal(["OrderedDict", { attributes: ["dict", ["k", 2]] }]);
    expect(read(bytesOf("}", two, "\x85", "Ns."))).to.have.property("kind", "dict");
  });
});
