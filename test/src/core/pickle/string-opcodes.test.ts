import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { read, readPlain } from "../../support/plain-tree.ts";
import { bytesOf, type Part, u32, u64 } from "../../support/write-pickle.ts";

const one = (...parts: readonly Part[]): unknown => readPlain(bytesOf(...parts, "."));

describe("opcodes of texts and bytes", () => {
  it("BINUNICODE and its siblings are UTF-8 with lone surrogates allowed", async () => {
    expect(one("X", u32(3), "abc")).to.equal("abc");
    expect(one("\x8c\x02\xc3\xa9")).to.equal("é");
    expect(one("\x8d", u64(4), "\xf0\x9f\x98\x80")).to.equal("\u{1f600}");
    expect(one("X", u32(3), "\xed\xa0\x80")).to.equal("\ud800");
    expect(one("X", u32(3), "\xef\xbb\xbf")).to.equal("\ufeff");
    for (const wrong of ["\xff", "\xc0\xaf", "\xe2\x82", "\xf4\x90\x80\x80", "\x80", "\xf8\x88\x80\x80\x80", "\xc3a", "\xe0\x80\x80"]) {
      await expectError("RANKCAST_PICKLE_TEXT", () => one("X", u32(wrong.length), wrong));
    }
  });

  it("long texts with a fault or a lone surrogate are told apart as short ones are", async () => {
    const long = "\xc3\xa9".repeat(2000);
    expect(one("X", u32(4003), long, "\xed\xbf\xbf")).to.equal(`${"é".repeat(2000)}\udfff`);
    await expectError("RANKCAST_PICKLE_TEXT", () => one("X", u32(4001), long, "\xff"));
  });

  it("UNICODE is raw-unicode-escape", async () => {
    expect(one("V\\u0041b\n")).to.equal("Ab");
    expect(one("V\xe9\n")).to.equal("é");
    expect(one("V\\U0001f600\n")).to.equal("\u{1f600}");
    expect(one("V\\\\u0041\n")).to.equal("\\\\u0041");
    expect(one("V\\x41\n")).to.equal("\\x41");
    for (const wrong of ["V\\u00\n", "V\\u\n", "V\\U0001f60\n", "V\\U00110000\n"])
      await expectError("RANKCAST_PICKLE_TEXT", () => one(wrong));
  });

  it("BINBYTES and its siblings are bytes", () => {
    expect(one("C\x02\x00\xff")).to.equal("hex:00ff");
    expect(one("B", u32(2), "\x00\xff")).to.equal("hex:00ff");
    expect(one("\x8e", u64(2), "\x00\xff")).to.equal("hex:00ff");
    expect(one("\x96", u64(2), "\x00\xff")).to.equal("hex:00ff");
  });

  it("bytes are copied out of the pickle, which may be large", () => {
    const bytes = bytesOf("C\x02ab.");
    const value = read(bytes);
    bytes.fill(0);
    expect(Buffer.from(value as Uint8Array).toString()).to.equal("ab");
  });

  it("strings of Python 2 are UTF-8, else Latin-1", () => {
    expect(one("U\x03abc")).to.equal("abc");
    expect(one("U\x02\xc3\xa9")).to.equal("é");
    expect(one("U\x04caf\xe9")).to.equal("café");
    expect(one("T", u32(300), "x".repeat(300))).to.equal("x".repeat(300));
    expect(one("}U\x01\xe9U\x01\xe8s")).to.deep.equal(["dict", ["é", "è"]]);
    expect(one("]U\x01\xe9a")).to.deep.equal(["list", "é"]);
  });

  it("STRING is a quoted repr", async () => {
    expect(one("S'a\\'b'\n")).to.equal("a'b");
    expect(one('S"x\\ty\\x41\\101\\\\"\n')).to.equal("x\tyAA\\");
    expect(one("S'\\q'\n")).to.equal("\\q");
    expect(one("S''\n")).to.equal("");
    for (const wrong of ["Sab\n", "S'a\n", "S'\n", "S'a\"\n", "S'\\x4'\n", "S'\\'\n"])
      await expectError("RANKCAST_PICKLE_TEXT", () => one(wrong));
  });

  it("lengths are compared with what is left before anything is allocated", async () => {
    const heads: readonly Part[][] = [
      ["X", u32(0x7fffffff)],
      ["X", u32(0xffffffff)],
      ["\x8d", u64(2n ** 62n)],
      ["\x8e", u64(2n ** 64n - 1n)],
      ["\x96", u64(2n ** 40n)],
      ["B", u32(0xffffffff)],
      ["T", u32(0x7fffffff)],
      ["C\xff"],
      ["U\xff"],
      ["\x8c\xff"],
    ];
    for (const head of heads) await expectError("RANKCAST_PICKLE_TRUNCATED", () => one(...head, "abc"));
    await expectError("RANKCAST_PICKLE_TEXT", () => one("T", u32(-1), "abc"));
  });

  it("texts and bytes are bounded", async () => {
    const long = bytesOf("X", u32(2000), "x".repeat(2000), ".");
    await expectError("RANKCAST_LIMIT", () => read(long, {}, { pickleStringBytes: 1999 }));
    expect(read(long, {}, { pickleStringBytes: 2000 })).to.have.length(2000);
    await expectError("RANKCAST_LIMIT", () => read(bytesOf("B", u32(2000), "x".repeat(2000), "."), {}, { pickleStringBytes: 1999 }));
    await expectError("RANKCAST_LIMIT", () => read(bytesOf(`V${"x".repeat(2000)}\n.`), {}, { pickleStringBytes: 1999 }));
  });
});
