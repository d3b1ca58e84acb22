import { expect } from "chai";
import { expectError } from "../../support/expect-error.ts";
import { read, readPlain } from "../../support/plain-tree.ts";
import { bytesOf, type Part, u32, u64 } from "../../support/write-pickle.ts";

const one = (...parts: readonly Part[]): unknown => readPlain(bytesOf(...parts, "."));

describe("opcodes of stack and memo", () => {
  it("POP takes a value or a MARK, POP_MARK everything above one", () => {
    expect(one("K\x01K\x020")).to.equal(1);
    expect(one("K\x01(0")).to.equal(1);
    expect(one("K\x01(K\x02K\x031")).to.equal(1);
  });

  it("DUP pushes the same value", () => {
    expect(one("]2K\x01a\x86")).to.deep.equal(["tuple", ["list", 1], ["list", 1]]);
  });

  it("a value below a MARK is out of reach", async () => {
    for (const opcode of ["2", "q\x00", "\x85", "a", "R", "b", "\x94", "."])
      await expectError("RANKCAST_PICKLE_STACK", () => one("N(", opcode));
    for (const opcode of ["0", "2", "\x87", "s", "R", "\x81", "\x92", "\x93", "Q", "o", ""]) {
      await expectError("RANKCAST_PICKLE_STACK", () => one(opcode));
    }
  });

  it("PUT, BINPUT, LONG_BINPUT and MEMOIZE fill the memo, GET and its siblings read it", () => {
    expect(one("K\x01p7\n0g7\n")).to.equal(1);
    expect(one("K\x01q\x070h\x07")).to.equal(1);
    expect(one("K\x01r", u32(7), "0j", u32(7))).to.equal(1);
    expect(one("K\x01\x94K\x02\x9400h\x01h\x00\x86")).to.deep.equal(["tuple", 2, 1]);
    expect(one("K\x01q\x01K\x02q\x0200h\x02h\x01\x86")).to.deep.equal(["tuple", 2, 1]);
  });

  it("MEMOIZE goes on after the slots in use, however they were filled", () => {
    expect(one("K\x01q\x05K\x02\x9400h\x01")).to.equal(2);
    expect(one("K\x01r", u32(0xffffffff), "K\x02\x94", "00h\x01j", u32(0xffffffff), "\x86")).to.deep.equal(["tuple", 2, 1]);
  });

  it("a slot that is filled twice counts once", () => {
    expect(read(bytesOf("\x80\x04K\x01q\x000K\x02q\x000K\x03\x940h\x01."))).to.equal(3);
  });

  it("a slot can be written again", () => {
    expect(one("K\x01q\x00K\x02q\x0000h\x00")).to.equal(2);
    expect(one("K\x01r", u32(1e6), "K\x02r", u32(1e6), "00j", u32(1e6))).to.equal(2);
  });

  it("a slot beyond any array costs no memory", () => {
    expect(one("]r", u32(0xffffffff), "0j", u32(0xffffffff))).to.deep.equal(["list"]);
    expect(one("]p9007199254740991\n0g9007199254740991\n")).to.deep.equal(["list"]);
  });

  it("refuses slots that were never set or are no slots", async () => {
    for (const wrong of [
      "h\x00",
      "Nq\x040h\x03",
      "Nq\x00h\x01",
      "g9\n",
      "gx\n",
      "g-1\n",
      "g\n",
      "Np9007199254740992\n",
      "Np99999999999999999999\n",
    ]) {
      await expectError("RANKCAST_PICKLE_MEMO", () => one(wrong));
    }
    await expectError("RANKCAST_PICKLE_MEMO", () => one("Nr", u32(1e6), "j", u32(1e6 + 1)));
  });

  it("sharing and cycles survive", () => {
    const list = read(bytesOf("]q\x00h\x00a.")) as unknown as { elements: unknown[] };
    expect(list.elements[0]).to.equal(list);
    const pair = read(bytesOf("}q\x00h\x00h\x00\x86.")) as unknown as { elements: unknown[] };
    expect(pair.elements[0]).to.equal(pair.elements[1]);
  });

  it("bounds stack and MARKs", async () => {
    await expectError("RANKCAST_LIMIT", () => read(bytesOf("N".repeat(101), "."), {}, { pickleStackValues: 100 }));
    await expectError("RANKCAST_LIMIT", () => read(bytesOf("(".repeat(101), "N."), {}, { pickleMarkDepth: 100 }));
  });
});

describe("opcodes that frame a pickle", () => {
  const frame = (nbytes: number | bigint, ...parts: readonly Part[]): Uint8Array => bytesOf("\x80\x04\x95", u64(nbytes), ...parts);

  it("PROTO comes first or not at all, and knows protocols up to 5", async () => {
    expect(readPlain(bytesOf("\x80\x05N."))).to.equal(null);
    expect(readPlain(bytesOf("\x80\x00N."))).to.equal(null);
    for (const wrong of ["\x80\x06N.", "\x80\x09N.", "\x80\xffN.", "\x80\x02\x80\x02N.", "N\x80\x02."]) {
      await expectError("RANKCAST_PICKLE_PROTOCOL", () => readPlain(bytesOf(wrong)));
    }
  });

  it("reads frames one after the other, and opcodes between them", () => {
    expect(readPlain(frame(2, "]N", "N", "\x95", u64(3), "\x86a."))).to.deep.equal(["list", ["tuple", null, null]]);
    expect(readPlain(frame(0, "\x95", u64(2), "N."))).to.equal(null);
  });

  it("refuses frames that lie", async () => {
    const lies: readonly Uint8Array[] = [
      frame(10 ** 6, "N."),
      frame(2n ** 63n, "N."),
      frame(2n ** 64n - 1n, "N."),
      frame(3, "N."),
      frame(3, "N.abc"),
      frame(1, "K\x01."),
      frame(2, "X", u32(1), "a."),
      frame(5, "X", u32(1), "a."),
      frame(3, "]\x95", u64(2), "Na."),
      frame(13, "]\x95", u64(2), "Na."),
      frame(2, "]c", "os\nsystem\n."),
      frame(3, "cos\nsystem\n."),
      frame(4, "B", u32(3), "abc."),
    ];
    for (const [at, lie] of lies.entries()) {
      const error = await expectError("RANKCAST_PICKLE_FRAME", () => readPlain(lie)).catch((cause: unknown) => {
        throw new Error(`lie ${at}`, { cause });
      });
      expect(error.class).to.equal("pickle");
    }
  });

  it("ends at STOP and leaves the rest alone", () => {
    expect(readPlain(bytesOf("K\x01.\xff\xff"))).to.equal(1);
  });
});
